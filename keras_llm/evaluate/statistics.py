"""How sure a number is: standard errors, bootstraps, paired differences."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_llm.errors import InputError

RESAMPLES = 10_000
_AT_ONCE = 1 << 22  # numbers drawn at a time, to bound memory


class Interval(NamedTuple):
    """A confidence interval.

    Example:

    >>> Interval(0.4, 0.6).low
    0.4
    """

    low: float
    high: float


class Paired(NamedTuple):
    """Two models on the same items.

    Attributes:
        difference: Mean of a - b.
        interval: Of the difference, by paired bootstrap.
        p_value: Two-sided, of "there is no difference".
        wins: Items where a is above b.
        ties: Items where they are equal.
        losses: Items where b is above a.

    Example:

    >>> Paired(0.1, Interval(0.0, 0.2), 0.04, 30, 50, 20).wins
    30
    """

    difference: float
    interval: Interval
    p_value: float
    wins: int
    ties: int
    losses: int


def standard_error(values: np.ndarray) -> float | None:
    """Returns the standard error of a mean, None below two values.

    Source: the sample formula, as the lm-evaluation-harness's `mean_stderr`.

    Example:

    >>> round(standard_error(np.array([0.0, 1.0, 1.0, 0.0])), 4)
    0.2887
    """
    values = np.asarray(values, "float64")
    if len(values) < 2:
        return None
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Returns the percentile bootstrap interval of a statistic of items.

    Args:
        values: `(items, ...)`: what each item gave.
        statistic: From `(resamples, items, ...)` to `(resamples,)`. Default:
            the mean over items.
        resamples: Samples drawn with replacement.
        level: Share of the bootstrap distribution inside.
        seed: The same seed gives the same interval.

    Raises:
        InputError: There are no items.

    Source: Efron 1979; Koehn 2004, https://aclanthology.org/W04-3250.

    Example:

    >>> low, high = bootstrap(np.array([0.0, 1.0] * 50))
    >>> 0.38 < low < 0.42 and 0.58 < high < 0.62
    True
    """
    drawn = resampled(values, statistic, resamples, seed)
    tail = 50 * (1 - level)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(float(low), float(high))


def resampled(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Returns the statistic of every resample, float64 `(resamples,)`.

    Args and errors as for `bootstrap`.

    Example:

    >>> resampled(np.array([1.0, 1.0]), resamples=3).tolist()
    [1.0, 1.0, 1.0]
    """
    values = np.asarray(values, "float64")
    if not len(values):
        raise InputError(
            "Expected at least one item to resample. Received: none."
        )
    statistic = statistic or (lambda drawn: drawn.mean(axis=1))
    random = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // values.size)
    parts = [
        statistic(values[random.integers(0, len(values), (size, len(values)))])
        for begin in range(0, resamples, step)
        for size in [min(step, resamples - begin)]
    ]
    return np.concatenate(parts)


def paired(
    a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Paired:
    """Compares two models by what each item gave them.

    The p-value is the bootstrap's: twice the share of resampled differences
    on the other side of zero, which is counted as half where it is hit.

    Args:
        a: `(items,)`, higher is better.
        b: The same items in the same order.
        resamples: Samples drawn with replacement.
        seed: Of the drawing.

    Raises:
        InputError: There are no items, or not as many of one as of the other.

    Source: paired bootstrap resampling, Koehn 2004,
    https://aclanthology.org/W04-3250.

    Example:

    >>> paired(np.array([1.0, 1, 1, 0]), np.array([0.0, 1, 0, 0])).wins
    2
    """
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    if a.shape != b.shape:
        raise InputError(
            "Expected as many items of both models. Received: "
            f"{len(a)} and {len(b)}. Evaluate both on the same items."
        )
    gaps = a - b
    drawn = resampled(gaps, resamples=resamples, seed=seed)
    low, high = np.percentile(drawn, [2.5, 97.5])
    below = np.mean(drawn < 0) + np.mean(drawn == 0) / 2
    return Paired(
        difference=float(gaps.mean()),
        interval=Interval(float(low), float(high)),
        p_value=float(min(1.0, 2 * min(below, 1 - below))),
        wins=int((gaps > 0).sum()),
        ties=int((gaps == 0).sum()),
        losses=int((gaps < 0).sum()),
    )
