"""Shares of a count: their interval, and whether they differ from chance."""

import math
from statistics import NormalDist

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.statistics import Interval


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Returns Wilson's interval of a share.

    It stays within 0 and 1 and is wide where few were counted, also when none
    or all succeeded.

    Args:
        successes: How many of the trials.
        trials: At least one.
        level: How often such an interval holds the true share.

    Raises:
        InputError: There is no trial, or there are more successes.

    Source: Wilson 1927, https://www.jstor.org/stable/2276774.

    Example:

    >>> low, high = wilson(0, 10)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.278)
    """
    _check(successes, trials)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = successes / trials, z * z / trials
    center = share + weight / 2
    half = z * math.sqrt(share * (1 - share) / trials + weight / 4 / trials)
    return Interval(
        max(0.0, (center - half) / (1 + weight)),
        min(1.0, (center + half) / (1 + weight)),
    )


def half_test(successes: int, trials: int) -> float:
    """Returns the two-sided exact p-value of "the true share is one half".

    Raises:
        InputError: There is no trial, or there are more successes.

    Source: the sign test; equals `scipy.stats.binomtest(k, n, 0.5)`.

    Example:

    >>> round(half_test(1, 10), 9)
    0.021484375
    """
    _check(successes, trials)
    few = min(successes, trials - successes)
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        - trials * math.log(2)
        for k in range(few + 1)
    ]
    return float(min(1.0, 2 * np.exp(logs).sum()))


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or not trials:
        raise InputError(
            "Expected at least one trial and at most as many successes. "
            f"Received: {successes} of {trials}."
        )
