"""Is a group of items worse than the rest, beyond chance?"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_llm.evaluate.corrections import holm
from keras_llm.evaluate.grouping import Group
from keras_llm.evaluate.statistics import Interval, standard_error

RESAMPLES = 9_999
_95 = 1.959964  # half a 95 % interval, in standard errors
_AT_ONCE = 1 << 22  # numbers shuffled at a time, to bound memory


class GroupResult(NamedTuple):
    """A group of items against the rest.

    Attributes:
        trait: What its items have in common, for example "length".
        name: Which, for example "80 to 120 characters".
        count: Its items.
        mean: Mean value of its items.
        error: Standard error of that mean.
        rest: Mean value of all other items.
        difference: `mean - rest`.
        interval: Of the difference, 95 %, by Welch's standard error.
        p_value: Two-sided, of "there is no difference", by permutation and
            corrected for the number of groups (Holm).
        such_as: Words that show it.

    Example:

    >>> GroupResult("source", "news", 50, 0.4, 0.07, 0.7, -0.3,
    ...     Interval(-0.45, -0.15), 0.002).difference
    -0.3
    """

    trait: str
    name: str
    count: int
    mean: float
    error: float
    rest: float
    difference: float
    interval: Interval
    p_value: float
    such_as: tuple[str, ...] = ()


def compare_groups(
    values: np.ndarray,
    groups: Sequence[Group],
    least: int = 20,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[GroupResult]:
    """Compares each group with all other items.

    The p-value of a group is the share of random groups of its size that
    differ from their rest by as much, counted with the group itself; it is
    thus never zero. All are corrected together by Holm's rule.

    Args:
        values: float `(items,)`.
        groups: What to compare.
        least: Groups with fewer items, or with fewer items left in the rest,
            are left out; at least 2.
        resamples: Random shuffles of the values.
        seed: Of the shuffles.

    Source: the permutation test of two means; Holm 1979.

    Example:

    >>> values = np.array([0.0] * 30 + [1.0] * 30)
    >>> first = Group("half", "first", np.arange(60) < 30)
    >>> compare_groups(values, [first])[0].difference
    -1.0
    """
    values = np.asarray(values, "float64")
    kept = [
        group
        for group in groups
        if min(group.members.sum(), (~group.members).sum()) >= max(2, least)
    ]
    if not kept:
        return []
    masks = np.stack([group.members for group in kept], axis=1)
    p_values = holm(_permutation(values, masks, resamples, seed).tolist())
    return [
        _result(values, group, p)
        for group, p in zip(kept, p_values, strict=True)
    ]


def _result(values: np.ndarray, group: Group, p_value: float) -> GroupResult:
    inside, rest = values[group.members], values[~group.members]
    errors = [standard_error(part) or 0.0 for part in (inside, rest)]
    difference = float(inside.mean() - rest.mean())
    reach = _95 * math.hypot(*errors)
    return GroupResult(
        trait=group.trait,
        name=group.name,
        count=len(inside),
        mean=float(inside.mean()),
        error=errors[0],
        rest=float(rest.mean()),
        difference=difference,
        interval=Interval(difference - reach, difference + reach),
        p_value=p_value,
        such_as=group.such_as,
    )


def _permutation(
    values: np.ndarray, masks: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """P-values `(groups,)`; one shuffle of the values serves all groups."""
    sizes = masks.sum(axis=0)
    weights = masks / sizes - ~masks / (len(values) - sizes)
    # Sums in another order differ in the last bits: equal is equal enough.
    seen = np.abs(values @ weights) - 1e-12 * np.abs(values).max()
    random, hits = np.random.default_rng(seed), np.ones(len(sizes))
    step = max(1, _AT_ONCE // len(values))
    for begin in range(0, resamples, step):
        rows = np.tile(values, (min(step, resamples - begin), 1))
        shuffled = random.permuted(rows, axis=1)
        hits += (np.abs(shuffled @ weights) >= seen).sum(axis=0)
    return hits / (resamples + 1)
