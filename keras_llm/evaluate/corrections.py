"""Many comparisons at once: p-values that allow for how many there were."""

from collections.abc import Sequence

import numpy as np

from keras_llm.errors import InputError


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for being several, in the same order.

    One adjusted value below 0.05 is a finding: the chance of even one false
    finding among all of them is then at most 5 %, whether or not the
    comparisons depend on each other.

    Args:
        p_values: Each from 0 to 1; may be empty.

    Raises:
        InputError: One is not from 0 to 1.

    Source: Holm 1979, "A simple sequentially rejective multiple test
    procedure", https://www.jstor.org/stable/4615733.

    Example:

    >>> holm([0.25, 0.0625])
    [0.25, 0.125]
    """
    p = np.asarray(p_values, "float64").reshape(-1)
    wrong = p[~((p >= 0) & (p <= 1))]
    if wrong.size:
        raise InputError(
            f"Expected p-values from 0 to 1. Received: {wrong[0]:g}."
        )
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * factors)
    return np.minimum(adjusted, 1.0).tolist()
