"""Class weights: rare labels count more."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError

BALANCED = "balanced"
ClassWeights = Mapping[str, float] | str | None


def label_weights(
    targets: np.ndarray, names: Sequence[str], given: ClassWeights
) -> np.ndarray:
    """Returns the weight of each text, or of each of its yes and no.

    "balanced" is `texts / (classes * texts of the class)`, as scikit-learn
    has it, so that all classes weigh the same together; where a text may
    have many labels, having a label and not having it are the two classes.

    Args:
        targets: int32 `(texts,)`, or float32 `(texts, labels)`.
        names: The labels.
        given: "balanced"; a weight for each label by name, those missing
            are 1, where a text may have many that of having it; None: 1.

    Returns:
        float32 of the shape of `targets`.

    Raises:
        InputError: A name is unknown, or a weight is not above zero.

    Example:

    >>> label_weights(np.array([0, 0, 0, 0, 1]), ("ham", "spam"),
    ...               "balanced").tolist()
    [0.625, 0.625, 0.625, 0.625, 2.5]
    """
    if given is None:
        return np.ones(targets.shape, np.float32)
    many = targets.ndim == 2
    if given == BALANCED:
        if many:
            return _balanced_many(targets)
        count = np.bincount(targets, minlength=len(names))
        table = len(targets) / (len(names) * np.maximum(count, 1))
        return table[targets].astype(np.float32)
    table = _table(names, given)
    if many:
        return np.where(targets > 0, table, 1.0).astype(np.float32)
    return table[targets].astype(np.float32)


def _balanced_many(targets: np.ndarray) -> np.ndarray:
    yes = targets.sum(0)
    share = np.where(targets > 0, yes, len(targets) - yes)
    return (len(targets) / (2 * np.maximum(share, 1))).astype(np.float32)


def _table(names: Sequence[str], given: Any) -> np.ndarray:
    if not isinstance(given, Mapping):
        raise InputError(
            'Expected class_weights "balanced", None, or weights by label. '
            f"Received: {given!r:.60}."
        )
    unknown = sorted(set(given) - set(names))
    wrong = [name for name, weight in given.items() if not weight > 0]
    if unknown or wrong:
        raise InputError(
            "Expected weights above zero of the labels "
            f"{', '.join(names)}. Received: {dict(given)!r:.100}."
        )
    return np.array([given.get(name, 1.0) for name in names], np.float32)
