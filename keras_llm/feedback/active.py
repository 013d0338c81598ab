"""Active learning: which texts are most worth a label.

Scores are larger where a label says more. A classifier gives probabilities
`(texts, classes)`, or with dropout left on samples of them
`(samples, texts, classes)`.

Sources: Settles 2009, "Active Learning Literature Survey"; BALD, Houlsby et
al. 2011, https://arxiv.org/abs/1112.5745; k-center, Sener & Savarese 2018,
https://arxiv.org/abs/1708.00489.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError, check_choice

POOL = 5  # diversity chooses among so many times the texts that are wanted
Indices = Sequence[int] | np.ndarray


def entropy(probabilities: Any) -> np.ndarray:
    """Returns the entropy of each text's probabilities, in nats.

    Args:
        probabilities: `(..., classes)`, each row with a sum of one.

    Returns:
        float64 `(...)`: 0 where one class is certain, `log(classes)` where
        all are alike.

    Raises:
        InputError: A row is no distribution.

    Example:

    >>> entropy([[0.5, 0.5], [1.0, 0.0]]).round(3).tolist()
    [0.693, 0.0]
    """
    p = _distributions(probabilities)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return np.abs((p * logs).sum(-1))


def margin(probabilities: Any) -> np.ndarray:
    """Returns one minus how far the likeliest class is before the next.

    Args:
        probabilities: `(..., classes)`, each row with a sum of one.

    Returns:
        float64 `(...)`: 1 where the two likeliest are alike, 0 where one
        class is certain.

    Raises:
        InputError: A row is no distribution, or there is one class only.

    Example:

    >>> margin([[0.5, 0.5, 0.0], [0.6, 0.3, 0.1]]).round(3).tolist()
    [1.0, 0.7]
    """
    p = np.sort(_distributions(probabilities), axis=-1)
    return 1.0 - (p[..., -1] - p[..., -2])


def least_confidence(probabilities: Any) -> np.ndarray:
    """Returns one minus the probability of the likeliest class.

    Args:
        probabilities: `(..., classes)`, each row with a sum of one.

    Returns:
        float64 `(...)`.

    Raises:
        InputError: A row is no distribution.

    Example:

    >>> least_confidence([[0.75, 0.25], [1.0, 0.0]]).tolist()
    [0.25, 0.0]
    """
    return 1.0 - _distributions(probabilities).max(-1)


def bald(samples: Any) -> np.ndarray:
    """Returns what a label would say of the classifier's weights, in nats.

    The mutual information of label and weights: the entropy of the mean
    minus the mean entropy. It is high where samples contradict each other,
    and low where each says that the text is ambiguous.

    Args:
        samples: `(samples, texts, classes)`: the probabilities of passes
            with dropout.

    Returns:
        float64 `(texts,)`.

    Raises:
        InputError: There is one pass only, or a row is no distribution.

    Source: Houlsby et al. 2011, https://arxiv.org/abs/1112.5745.

    Example:

    >>> bald([[[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]]).round(3).tolist()
    [0.693, 0.0]
    """
    p = _distributions(samples)
    if p.ndim != 3 or len(p) < 2:
        raise InputError(
            "Expected probabilities (samples, texts, classes) of two or more "
            f"passes with dropout. Received: the shape {p.shape}."
        )
    mutual = entropy(p.mean(0)) - entropy(p).mean(0)
    return np.maximum(mutual, 0.0)  # it is below by rounding only


METHODS = {
    "entropy": entropy,
    "margin": margin,
    "least_confidence": least_confidence,
    "bald": bald,
}


def k_center(embeddings: Any, chosen: Indices, count: int) -> np.ndarray:
    """Chooses texts that leave no text far from a chosen one, greedily.

    Each is the one that is farthest from all that were chosen before.

    Args:
        embeddings: `(texts, width)`.
        chosen: Texts that count as chosen already. With none the first is
            the one nearest to the mean.
        count: How many to choose; at most those that are left.

    Returns:
        int64 `(count,)`, in the order of choice.

    Raises:
        InputError: `embeddings` is no matrix, or `count` is below one.

    Source: Sener & Savarese 2018, https://arxiv.org/abs/1708.00489,
    algorithm 1.

    Example:

    >>> k_center([[0.0], [1.0], [9.0], [10.0]], chosen=[0], count=2).tolist()
    [3, 1]
    """
    points = np.asarray(embeddings, "float64")
    chosen = np.asarray(chosen, "int64")
    _check_count(count)
    if points.ndim != 2:
        raise InputError(
            "Expected embeddings (texts, width). Received: the shape "
            f"{points.shape}."
        )
    far = np.full(len(points), np.inf)
    for old in chosen:
        far = _nearer(far, points, old)
    found: list[int] = []
    for _ in range(min(count, len(points) - len(np.unique(chosen)))):
        if len(found) + len(chosen):
            new = int(far.argmax())
        else:
            new = int(((points - points.mean(0)) ** 2).sum(1).argmin())
        found.append(new)
        far = _nearer(far, points, new)
    return np.array(found, "int64")


def rank(
    probabilities: Any,
    embeddings: Any = None,
    *,
    method: str = "entropy",
    count: int | None = None,
    labelled: Indices = (),
) -> np.ndarray:
    """Returns which texts to label next, the most useful first.

    By uncertainty; with embeddings, diverse ones among the most uncertain
    (k-center among five times `count`), so that a batch does not ask the
    same thing many times.

    Args:
        probabilities: `(texts, classes)`, or `(samples, texts, classes)` of
            passes with dropout, of which the mean counts except for "bald".
        embeddings: `(texts, width)`, for example `CausalLM.embed`. Default:
            none, by uncertainty alone.
        method: "entropy", "margin", "least_confidence" or "bald".
        count: How many. Default: all that have no label.
        labelled: Indices of texts that have one; they are left out, and
            diversity keeps away from them.

    Returns:
        int64 `(count,)`: indices of texts; fewer where fewer are left.

    Raises:
        InputError: The method is unknown, a row is no distribution, shapes
            do not fit, or "bald" is asked of one pass.

    Example:

    >>> rank([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]], count=2).tolist()
    [1, 2]
    """
    check_choice("method", method, tuple(METHODS))
    p = _distributions(probabilities)
    scores = METHODS[method](p.mean(0) if _mean(p, method) else p)
    free = np.setdiff1d(np.arange(len(scores)), np.asarray(labelled, "int64"))
    best = free[np.argsort(-scores[free], kind="stable")]
    count = len(best) if count is None else count
    if embeddings is None or not len(best):
        return best[:count]
    _check_count(count)
    points = np.asarray(embeddings)
    if len(points) != len(scores):
        raise InputError(
            f"Expected an embedding for each of {len(scores)} texts. "
            f"Received: {len(points)}."
        )
    pool = best[: POOL * count]
    both = np.concatenate([pool, np.asarray(labelled, "int64")])
    known = np.arange(len(pool), len(both))
    return pool[k_center(points[both], known, count)]


def _mean(p: np.ndarray, method: str) -> bool:
    return p.ndim == 3 and method != "bald"


def _nearer(far: np.ndarray, points: np.ndarray, new: int) -> np.ndarray:
    """Squared distances to the nearest chosen text, with one more chosen."""
    far = np.minimum(far, ((points - points[new]) ** 2).sum(1))
    far[new] = -1.0  # not again, also where all points are alike
    return far


def _check_count(count: int) -> None:
    if count < 1:
        raise InputError(
            f"Expected to choose one text or more. Received: count={count}."
        )


def _distributions(probabilities: Any) -> np.ndarray:
    """Probabilities as float64, checked."""
    p = np.asarray(probabilities, "float64")
    if p.ndim < 2 or p.shape[-1] < 2:
        raise InputError(
            "Expected probabilities of two or more classes for each text. "
            f"Received: the shape {p.shape}."
        )
    wrong = (p < 0).any(-1) | ~(np.abs(p.sum(-1) - 1) < 1e-3)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            "Expected probabilities that are not negative and have a sum of "
            f"one. Received: {p[place].tolist()} at {place}. Give the "
            "softmax, not the logits."
        )
    return p
