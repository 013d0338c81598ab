"""Paired differences: how large they are, and whether chance explains them."""

import itertools

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.statistics import RESAMPLES

_AT_ONCE = 1 << 22  # signs drawn at a time, to bound memory


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
    count = len(differences)
    if not count:
        raise InputError("Expected at least one difference. Received: none.")
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
