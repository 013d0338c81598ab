"""How sure a number is: standard errors, bootstraps, paired differences."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_llm.errors import InputError

RESAMPLES = 10_000
_AT_ONCE = 1 << 22  # numbers or signs drawn at a time, to bound memory


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
        interval: 95 % of the difference, by paired bootstrap.
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

    The interval is the paired bootstrap's, too narrow for fewer than about ten
    items. The p-value is of random signs, which hold for any number: four
    items cannot show a difference.

    Args:
        a: `(items,)`, higher is better.
        b: The same items in the same order.
        resamples: Samples drawn with replacement.
        seed: Of the drawing.

    Raises:
        InputError: There are no items, or not as many of one as of the other.

    Source: Koehn 2004, https://aclanthology.org/W04-3250 (bootstrap); Riezler
    & Maxwell 2005, https://aclanthology.org/W05-0908 (random signs).

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
    return Paired(
        difference=float(gaps.mean()),
        interval=bootstrap(gaps, resamples=resamples, seed=seed),
        p_value=sign_flip_test(gaps, resamples, seed),
        wins=int((gaps > 0).sum()),
        ties=int((gaps == 0).sum()),
        losses=int((gaps < 0).sum()),
    )


def sign_flip_test(
    differences: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Returns the two-sided p-value of "differences are as often above zero".

    If a difference could as well have had the other sign, how often is the
    mean of all as far from zero as it is? All signs are tried where there are
    no more than `resamples`, else random ones. It is honest for few
    differences too: of two, no p-value is below 0.5.

    Args:
        differences: `(items,)`.
        resamples: Signs that are tried.
        seed: Of the drawing.

    Raises:
        InputError: There are no differences.

    Source: Fisher 1935, "The Design of Experiments", section 21; as
    `scipy.stats.permutation_test(permutation_type="samples")`.

    Example:

    >>> sign_flip_test(np.array([1.0, 2.0, 3.0]))
    0.25
    """
    differences = np.asarray(differences, "float64")
    if not len(differences):
        raise InputError("Expected at least one difference. Received: none.")
    differences = differences[differences != 0]  # their sign changes nothing
    count = len(differences)
    if not count:
        return 1.0
    # Sums of the same numbers in another order differ in the last digits.
    far = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if 1 << count <= resamples:
        signs = np.array(list(itertools.product((-1, 1), repeat=count)))
        return float(np.mean(np.abs(signs @ differences) >= far))
    random, hits = np.random.default_rng(seed), 0
    step = max(1, _AT_ONCE // count)
    for begin in range(0, resamples, step):
        size = (min(step, resamples - begin), count)
        signs = random.integers(0, 2, size, "int8") * 2 - 1
        hits += int(np.sum(np.abs(signs @ differences) >= far))
    return (hits + 1) / (resamples + 1)


def cohens_d(differences: np.ndarray) -> float | None:
    """Returns the effect size of paired differences: mean over deviation.

    About 0.2 is called small, 0.5 medium, 0.8 large. None where there are
    fewer than two differences or they are all the same.

    Source: Cohen 1988, "Statistical Power Analysis for the Behavioral
    Sciences", section 2.3.5, d of paired observations (also d_z).

    Example:

    >>> round(cohens_d(np.array([1.0, 2.0, 3.0])), 3)
    2.0
    """
    differences = np.asarray(differences, "float64")
    if len(differences) < 2:
        return None
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > 0 else None
