"""Ratings from comparisons of two: who would win against whom."""

import numpy as np

from keras_llm.errors import InputError

TOLERANCE = 1e-10  # of log strengths, at which the iteration ends
_MOST = 100_000


def bradley_terry(wins: np.ndarray, prior: float = 1.0) -> np.ndarray:
    """Returns the log strengths of models from who beat whom.

    A model of strength `p` beats one of strength `q` with probability
    `p / (p + q)`. The likelihood has no maximum when a model never lost, so
    every pair also gets `prior` games that count half for each of the two.

    Args:
        wins: float `(..., models, models)`: how often the first beat the
            second; a tie is half a win for both. The diagonal is not read.
        prior: Games added to every pair.

    Returns:
        float64 `(..., models)`, natural logarithms, their mean 0.

    Raises:
        InputError: It is not square, has a negative count, or `prior` is not
            above zero.

    Source: Bradley & Terry 1952, https://doi.org/10.2307/2334029; the
    iteration of Hunter 2004, https://doi.org/10.1214/aos/1079120141.

    Example:

    >>> strengths = bradley_terry(np.array([[0, 30], [10, 0]]), prior=1e-9)
    >>> round(float(np.exp(strengths[0] - strengths[1])), 3)
    3.0
    """
    wins = np.array(wins, "float64")
    square = wins.ndim > 1 and wins.shape[-1] == wins.shape[-2] > 1
    if not square or (wins < 0).any():
        raise InputError(
            "Expected counts of wins of shape (models, models), of at least "
            f"two models, none below zero. Received: {wins.tolist()!r:.60}."
        )
    if not prior > 0:
        raise InputError(f"Expected a prior above 0. Received: {prior:g}.")
    models = wins.shape[-1]
    others = ~np.eye(models, dtype=bool)
    wins = (wins + prior / 2) * others
    games, won = wins + np.swapaxes(wins, -1, -2), wins.sum(axis=-1)
    logs = np.zeros(won.shape)
    for _ in range(_MOST):
        strengths = np.exp(logs)
        sums = strengths[..., :, None] + strengths[..., None, :]
        new = np.log(won) - np.log((games / sums).sum(axis=-1))
        new -= new.mean(axis=-1, keepdims=True)
        moved, logs = np.abs(new - logs).max(initial=0.0), new
        if moved < TOLERANCE:
            return logs
    raise InputError(
        f"Expected comparisons that settle in {_MOST:,} iterations. Received: "
        f"strengths that still move by {moved:.1g}. Use a larger prior."
    )


def elo(log_strengths: np.ndarray) -> np.ndarray:
    """Returns ratings on the scale of chess, their mean 1000.

    A lead of 400 is ten wins to one.

    Example:

    >>> elo(np.log([10.0, 1.0]) - np.log(10) / 2).round().tolist()
    [1200.0, 800.0]
    """
    return 1000 + 400 / np.log(10) * np.asarray(log_strengths)
