"""From which probability on a label is given: chosen on labelled texts."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_llm.errors import InputError, check_choice

METRICS = ("f1", "accuracy", "precision")


class Threshold(NamedTuple):
    """A threshold and what it reaches.

    Attributes:
        value: From this probability on the label is given; for several
            labels a tuple.
        score: The metric there, or a tuple.

    Example:

    >>> Threshold(0.4, 0.9).value
    0.4
    """

    value: float | tuple[float, ...]
    score: float | tuple[float, ...]


class _Counts(NamedTuple):
    """Of each threshold that differs, texts that it gives the label."""

    right: np.ndarray
    given: np.ndarray
    positives: int
    texts: int


def choose_threshold(
    probabilities: np.ndarray,
    labels: np.ndarray,
    metric: str = "f1",
    recall: float = 0.9,
) -> Threshold:
    """Returns the threshold that is best on labelled texts.

    Between two probabilities that occur the middle is taken; of thresholds
    that are equally good the one nearest to 0.5. Pass its `value` to
    `Classifier.replace(threshold=...)`.

    Args:
        probabilities: `(texts,)` of the label, for two labels the second's;
            or `(texts, labels)`, for a threshold for each.
        labels: 0 and 1 of the same shape.
        metric: "f1", "accuracy", or "precision" at a recall of at least
            `recall`.
        recall: For "precision". Default: 0.9.

    Raises:
        InputError: The shapes differ, there is no text with a label, or the
            metric is unknown.

    Example:

    >>> probabilities, labels = np.array([0.1, 0.3, 0.6]), np.array([0, 1, 1])
    >>> value, score = choose_threshold(probabilities, labels)
    >>> round(value, 3), score
    (0.2, 1.0)
    """
    check_choice("metric", metric, METRICS)
    p, truth = np.asarray(probabilities, np.float64), np.asarray(labels) > 0.5
    if p.shape != truth.shape or p.ndim not in (1, 2):
        raise InputError(
            "Expected probabilities and labels of one shape, (texts,) or "
            f"(texts, labels). Received: {p.shape} and {truth.shape}. For two "
            "labels pass the second's: probabilities[:, 1]."
        )
    if p.ndim == 1:
        return _best(p, truth, metric, recall)
    each = [
        _best(*pair, metric, recall) for pair in zip(p.T, truth.T, strict=True)
    ]
    return Threshold(*(tuple(column) for column in zip(*each, strict=True)))


def _best(
    p: np.ndarray, truth: np.ndarray, metric: str, recall: float
) -> Threshold:
    if not truth.any():
        raise InputError(
            "Expected at least one text that has the label. Received: none "
            f"of {len(truth)}. Choose on more texts."
        )
    values = np.unique(p)
    limits = np.append((values[:-1] + values[1:]) / 2, 1.0)
    limits = np.append(0.0, limits)
    order = np.sort(p)
    hits = np.sort(p[truth])
    counts = _Counts(
        right=len(hits) - np.searchsorted(hits, limits),
        given=len(order) - np.searchsorted(order, limits),
        positives=len(hits),
        texts=len(order),
    )
    scores = _SCORES[metric](counts)
    if metric == "precision":
        scores = np.where(counts.right >= recall * len(hits), scores, -1.0)
    near = np.abs(limits - 0.5)
    best = np.lexsort((near, -scores))[0]
    return Threshold(float(limits[best]), float(scores[best]))


def _f1(counts: _Counts) -> np.ndarray:
    return 2 * counts.right / (counts.given + counts.positives)


def _accuracy(counts: _Counts) -> np.ndarray:
    missed = counts.positives - counts.right
    wrong = counts.given - counts.right + missed
    return 1 - wrong / counts.texts


def _precision(counts: _Counts) -> np.ndarray:
    return counts.right / np.maximum(counts.given, 1)


_SCORES: dict[str, Callable[[_Counts], np.ndarray]] = {
    "f1": _f1,
    "accuracy": _accuracy,
    "precision": _precision,
}
