"""Two samples of a number compared: stability index and Kolmogorov-Smirnov."""

import dataclasses
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.records import Record

BINS = 10
SOME, STRONG = 0.1, 0.25  # of the PSI, as credit scoring reads it
CHANCE = 0.01  # a larger p-value of KS is no drift, whatever the PSI


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift(Record):
    """How a number differs between training texts and live ones.

    Attributes:
        reference: Its mean over the training texts.
        live: Its mean over the live texts.
        psi: Population stability index.
        ks: Kolmogorov-Smirnov statistic.
        p_value: How likely such a `ks` is by chance.

    Example:

    >>> Shift(reference=9.0, live=12.0, psi=0.3, ks=0.4, p_value=1e-9).level
    'strong'
    """

    reference: float
    live: float
    psi: float
    ks: float
    p_value: float

    @property
    def level(self) -> str:
        """ "no", "some" (PSI from 0.1) or "strong" (from 0.25) drift.

        "no" also where KS has a p-value of 0.01 or more: with few texts the
        PSI is large by chance.
        """
        if self.psi < SOME or self.p_value >= CHANCE:
            return "no"
        return "some" if self.psi < STRONG else "strong"


def shift(reference: Any, live: Any) -> Shift:
    """Compares two samples of a number.

    Args:
        reference: `(n,)`.
        live: `(m,)`.

    Raises:
        InputError: A sample is empty.

    Example:

    >>> shift([1, 2, 3, 4], [1, 2, 3, 4]).level
    'no'
    """
    a, b = np.asarray(reference, "float64"), np.asarray(live, "float64")
    if not len(a) or not len(b):
        raise InputError(
            "Expected two samples to compare. Received: "
            f"{len(a)} and {len(b)} numbers."
        )
    statistic = ks_statistic(a, b)
    return Shift(
        reference=float(a.mean()),
        live=float(b.mean()),
        psi=population_stability(a, b),
        ks=statistic,
        p_value=ks_p_value(statistic, len(a), len(b)),
    )


def population_stability(reference: Any, live: Any, bins: int = BINS) -> float:
    """Returns the population stability index of two samples.

    Bins end at quantiles of the reference, each with its upper end. Half a
    text is added to each bin, so that one that is empty on one side does not
    make it infinite.

    Args:
        reference: `(n,)`.
        live: `(m,)`.
        bins: At most so many; fewer where values are alike.

    Returns:
        The sum over bins of `(q - p) * log(q / p)`: 0 for equal shares, below
        0.1 little, from 0.25 much.

    Source: Siddiqi 2006, "Credit Risk Scorecards"; it is the symmetrized
    Kullback-Leibler divergence.

    Example:

    >>> population_stability([1, 2, 3, 4], [1, 2, 3, 4])
    0.0
    """
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.unique(np.quantile(reference, inner, method="inverted_cdf"))
    counts = np.array(
        [
            np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1)
            for x in (reference, live)
        ]
    )
    counts = counts[:, counts.any(0)] + 0.5
    p, q = counts / counts.sum(1, keepdims=True)
    return float(((q - p) * np.log(q / p)).sum())


def ks_statistic(first: Any, second: Any) -> float:
    """Returns the largest distance of two cumulative distributions.

    Example:

    >>> ks_statistic([1, 2, 3, 4], [3, 4, 5, 6])
    0.5
    """
    a, b = np.sort(first), np.sort(second)
    both = np.concatenate([a, b])
    shares = [np.searchsorted(x, both, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def ks_p_value(statistic: float, n: int, m: int) -> float:
    """Returns how likely such a statistic is for two samples of one source.

    By the limit for large samples; for small ones it is too large.

    Source: Kolmogorov 1933; the series of `scipy.special.kolmogorov`.

    Example:

    >>> round(ks_p_value(0.5, 50, 50), 6)
    7e-06
    """
    x = statistic * np.sqrt(n * m / (n + m))
    if x < 0.2:
        return 1.0  # to 12 digits, where the series hardly converges
    k = np.arange(1, 101)
    terms = (-1.0) ** (k - 1) * np.exp(-2 * (k * x) ** 2)
    return float(np.clip(2 * terms.sum(), 0.0, 1.0))
