"""Precision, recall, F1, MCC and AUC of labels, in numpy."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 1000
_AT_ONCE = 100  # resamples


class Counts(NamedTuple):
    """How often each label was given, and how often rightly.

    Attributes:
        right: Items that have the label and were given it, float64
            `(..., labels)` as all.
        given: Items that were given it.
        true: Items that have it.

    Example:

    >>> counts_of(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).given.tolist()
    [2.0, 1.0]
    """

    right: np.ndarray
    given: np.ndarray
    true: np.ndarray

    def each(self) -> dict[str, np.ndarray]:
        """Returns `precision`, `recall` and `f1` of each label.

        What is 0 / 0 (a label that is never given) is 0.
        """
        return {
            "precision": _ratio(self.right, self.given),
            "recall": _ratio(self.right, self.true),
            "f1": _ratio(2 * self.right, self.given + self.true),
        }

    def means(self) -> dict[str, np.ndarray]:
        """Returns their means over labels (macro) and over items (micro)."""
        macro, micro = (
            self.each(),
            Counts(*(_total(one) for one in self)).each(),
        )
        return {
            **{f"macro_{name}": one.mean(-1) for name, one in macro.items()},
            **{f"micro_{name}": one[..., 0] for name, one in micro.items()},
        }

    def matthews(self) -> np.ndarray:
        """Returns the Matthews correlation of single labels, from -1 to 1.

        0 where only one label was given or is true.

        Source: Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006.
        """
        items = _total(self.true)[..., 0]
        both = items * self.right.sum(-1) - (self.given * self.true).sum(-1)
        spread = items**2 - (self.given**2).sum(-1)
        spread = spread * (items**2 - (self.true**2).sum(-1))
        return _ratio(both, np.sqrt(spread))


def counts_of(targets: Any, found: Any, labels: int) -> Counts:
    """Returns how often each label was true, given, and both.

    Args:
        targets: int `(items,)`, or 0 and 1 `(items, labels)`.
        found: What was given, in the same form.
        labels: How many there are.

    Example: see `Counts`.
    """
    true, given = _one_hot(targets, labels), _one_hot(found, labels)
    return Counts(
        *(one.sum(0).astype("float64") for one in (true * given, given, true))
    )


def label_scores(
    targets: np.ndarray, found: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Returns precision, recall and F1 of each label, and their means.

    A label that is never given has a precision of 0.

    Args:
        targets: `(texts,)`, or 0 and 1 `(texts, labels)`.
        found: Of the same shape: what was given.
        names: The labels.

    Returns:
        `labels`: by name `precision`, `recall`, `f1` and `support`;
        `macro_precision`, `macro_recall`, `macro_f1`, and the same with
        `micro_`; for single labels `mcc` (Matthews correlation) and
        `confusion`, a row for each true label.

    Source: the numbers are scikit-learn's, https://scikit-learn.org.

    Example:

    >>> found = label_scores(np.array([0, 0, 1]), np.array([0, 1, 1]),
    ...     ("a", "b"))
    >>> found["labels"]["b"]["recall"], found["confusion"]
    (1.0, [[1, 1], [0, 1]])
    """
    counts = counts_of(targets, found, len(names))
    each = counts.each()
    labels = {
        name: {
            **{kind: float(column[place]) for kind, column in each.items()},
            "support": int(counts.true[place]),
        }
        for place, name in enumerate(names)
    }
    means = {name: float(value) for name, value in counts.means().items()}
    own = {}
    if np.ndim(targets) == 1:
        own["mcc"] = float(counts.matthews())
        own["confusion"] = _confusion(targets, found, len(names)).tolist()
    return {"labels": labels, **means, **own}


def label_errors(
    targets: np.ndarray,
    found: np.ndarray,
    labels: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, float]:
    """Returns the standard errors of the means of `label_scores`.

    By bootstrap over items. Items alike in what is true and what was given
    are drawn together, as how often each kind of item comes up, so the time
    depends on the number of kinds.

    Args:
        targets, found: As for `label_scores`.
        labels: How many there are.
        resamples: Samples drawn with replacement.
        seed: The same seed gives the same errors.

    Example:

    >>> errors = label_errors(np.array([0, 1] * 50), np.array([0] * 100), 2)
    >>> round(errors["micro_f1"], 2)  # the square root of 0.5 * 0.5 / 100
    0.05
    """
    true, given = _one_hot(targets, labels), _one_hot(found, labels)
    kinds, often = np.unique(
        np.concatenate([true, given], axis=1), axis=0, return_counts=True
    )
    true, given = kinds[:, :labels], kinds[:, labels:]
    random, drawn = np.random.default_rng(seed), []
    for begin in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - begin)
        share = often / often.sum()
        weights = random.multinomial(often.sum(), share, size).astype("float64")
        counts = Counts(*(weights @ one for one in (true * given, given, true)))
        single = {"mcc": counts.matthews()} if np.ndim(targets) == 1 else {}
        drawn.append({**counts.means(), **single})
    return {
        name: float(np.concatenate([one[name] for one in drawn]).std(ddof=1))
        for name in drawn[0]
    }


def roc_auc(
    truth: np.ndarray, scores: np.ndarray
) -> tuple[float, float | None] | None:
    """Returns the area under the ROC curve and its standard error.

    It is how often a positive item has a higher score than a negative one.

    Args:
        truth: 0 and 1, `(items,)`.
        scores: Higher for positive ones, `(items,)`.

    Returns:
        None if all items are positive or all negative; an error of None if
        there is only one of a kind.

    Source: DeLong et al. 1988, https://doi.org/10.2307/2531595.

    Example:

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))[0]
    0.75
    """
    positive = np.asarray(truth).astype(bool)
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return None
    ranks = _ranks(scores)
    above = (ranks[positive] - _ranks(scores[positive])) / downs
    below = 1 - (ranks[~positive] - _ranks(scores[~positive])) / ups
    error = None
    if min(ups, downs) > 1:
        error = np.sqrt(above.var(ddof=1) / ups + below.var(ddof=1) / downs)
        error = float(error)
    return float(above.mean()), error


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(
        values, return_inverse=True, return_counts=True
    )
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def _confusion(targets: Any, found: Any, labels: int) -> np.ndarray:
    cells = np.asarray(targets, int) * labels + np.asarray(found, int)
    return np.bincount(cells, minlength=labels**2).reshape(labels, labels)


def _one_hot(values: Any, labels: int) -> np.ndarray:
    values = np.asarray(values).astype("int64")
    return values if values.ndim == 2 else np.eye(labels, dtype="int64")[values]


def _total(values: np.ndarray) -> np.ndarray:
    return values.sum(-1, keepdims=True)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    zero = np.zeros(np.broadcast_shapes(np.shape(above), np.shape(below)))
    return np.divide(above, below, out=zero, where=below > 0)
