"""Which words are typical of a group: log-odds with a prior."""

import numpy as np

from keras_llm.errors import InputError


def weighted_log_odds(
    counts: np.ndarray, prior: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Compares how often each group has each word with all other groups.

    With `y` the counts of a group, `n` their sum, and a prior of
    `a = prior * (counts of the word in all groups)`, the log-odds of a word
    are `log((y + a) / (n + sum(a) - y - a))`; what is returned is their
    difference between the group and the others, and that over its standard
    deviation, whose square is about `1 / (y + a) + 1 / (y' + a)`. The prior
    pulls words that are seldom seen towards no difference.

    Args:
        counts: `(groups, words)`, at least two groups.
        prior: Weight of the words' frequencies in all groups, above 0.

    Returns:
        `(differences, z)`, float64 `(groups, words)`; NaN for words that
        no group has.

    Raises:
        InputError: There are fewer than two groups, a count is below zero, or
            the prior is not above 0.

    Source: Monroe, Colaresi and Quinn 2008, "Fightin' Words", equations 15 to
    22, https://doi.org/10.1093/pan/mpn018.

    Example:

    >>> _, z = weighted_log_odds(np.array([[90, 10], [10, 90]]))
    >>> (z > 2).tolist()
    [[True, False], [False, True]]
    """
    counts = np.asarray(counts, "float64")
    if counts.ndim != 2 or len(counts) < 2 or (counts < 0).any() or prior <= 0:
        raise InputError(
            "Expected counts (groups, words) of at least two groups, none "
            "below zero, and a prior above 0. Received: the shape "
            f"{counts.shape} and prior={prior}."
        )
    together = counts.sum(axis=0)
    known = together > 0
    alpha = prior * together[known]
    one = counts[:, known] + alpha
    other = (together - counts)[:, known] + alpha
    difference = _log_odds(one) - _log_odds(other)
    z = difference / np.sqrt(1 / one + 1 / other)
    whole = np.full((2, *counts.shape), np.nan)
    whole[0][:, known], whole[1][:, known] = difference, z
    return whole[0], whole[1]


def _log_odds(counts: np.ndarray) -> np.ndarray:
    """Of each word among all, `(groups, words)`."""
    rest = counts.sum(axis=1, keepdims=True) - counts
    return np.log(counts) - np.log(np.maximum(rest, np.finfo("float64").tiny))
