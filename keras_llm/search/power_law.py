"""A power law through the losses of small runs, and what it says of the next.

`L(x) = a + b * x^-c`: x are parameters, FLOPs or tokens, a is the loss that no
size goes below.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.records import Record

LEAST = 4  # sizes: one more than the law has numbers
SPREAD = 3.0  # largest size over the smallest
STARTS = (0.05, 0.1, 0.2, 0.4, 0.8)  # exponents to start from


@dataclasses.dataclass(frozen=True, kw_only=True)
class PowerLaw(Record):
    """A fitted law.

    Args:
        a, b, c: Of `a + b * x^-c`.
        error: Standard deviation of the losses around the law, with the
            points' number less three as the denominator.
        samples: (a, b, c) of each bootstrap sample.
        errors: Deviations to draw from when a point is predicted.
        points: (x, loss) that it was fitted to.

    Example:

    >>> law = PowerLaw(a=1.0, b=4.0, c=0.5, error=0.0, samples=((1, 4, 0.5),),
    ...     errors=(0.0,), points=((1.0, 5.0),))
    >>> law.at(16.0)
    2.0
    """

    a: float
    b: float
    c: float
    error: float
    samples: tuple[tuple[float, float, float], ...]
    errors: tuple[float, ...]
    points: tuple[tuple[float, float], ...]

    def at(self, x: float) -> float:
        """Returns the loss that the law has at x."""
        return self.a + self.b * x**-self.c

    def interval(self, x: float, share: float = 0.9) -> tuple[float, float]:
        """Returns where a new run of size x ends, in a share of the cases.

        Of the bootstrap samples' losses at x, each with a deviation as the
        points have: the uncertainty of the law and of a run.

        Args:
            x: Its size.
            share: Above 0 and below 1. Default: 0.9.

        Raises:
            InputError: The share is out of range.

        Example:

        >>> x = [1e6, 3e6, 1e7, 3e7, 1e8]
        >>> law = fit_power_law(x, [2 + 40 * n ** -0.3 for n in x])
        >>> low, high = law.interval(1e9)
        >>> round(low, 3), round(high, 3)
        (2.08, 2.08)
        """
        if not 0 < share < 1:
            raise InputError(
                f"Expected a share between 0 and 1. Received: {share}."
            )
        a, b, c = np.array(self.samples).T
        losses = (a + b * x**-c)[:, None] + np.array(self.errors)[None]
        edge = (1 - share) / 2
        low, high = np.quantile(losses, [edge, 1 - edge])
        return float(low), float(high)


def fit_power_law(
    x: Sequence[float],
    losses: Sequence[float],
    samples: int = 400,
    seed: int = 0,
) -> PowerLaw:
    """Fits `a + b * x^-c`, with a and b at least 0 and c above 0.

    Least squares of the losses, from several first exponents. The bootstrap
    draws deviations with replacement, adds them to the law's losses, and
    fits again; they are scaled up for the three numbers that the law has
    taken from the points.

    Args:
        x: Sizes above zero: parameters, FLOPs or tokens.
        losses: Of a run of each.
        samples: Of the bootstrap. Default: 400.
        seed: Of the bootstrap.

    Raises:
        InputError: There are fewer than four sizes, they are too near each
            other, a number is not finite, or scipy is not installed.

    Source: Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556 (the law);
    Efron 1979 (the bootstrap).

    Example:

    >>> x = [1e6, 3e6, 1e7, 3e7, 1e8]
    >>> law = fit_power_law(x, [2 + 40 * n ** -0.3 for n in x])
    >>> round(law.a, 3), round(law.b, 2), round(law.c, 3)
    (2.0, 40.0, 0.3)
    """
    sizes, values = np.array(x, "float64"), np.array(losses, "float64")
    _check(sizes, values)
    middle = float(np.exp(np.mean(np.log(sizes))))
    a, b, c = _fitted(sizes / middle, values, STARTS)
    law = a + b * (sizes / middle) ** -c
    free = len(sizes) - 3
    errors = values - law
    spread = np.sqrt(len(sizes) / free)
    drawn = np.random.default_rng(seed)
    found = []
    for _ in range(samples):
        noise = drawn.choice(errors * spread, len(sizes))
        a_, b_, c_ = _fitted(sizes / middle, law + noise, (c,))
        found.append((a_, b_ * middle**c_, c_))
    return PowerLaw(
        a=a,
        b=b * middle**c,
        c=c,
        error=float(np.sqrt(np.sum(errors**2) / free)),
        samples=tuple(found),
        errors=tuple((errors * spread).tolist()),
        points=tuple(zip(sizes.tolist(), values.tolist(), strict=True)),
    )


def _fitted(x: Any, y: Any, starts: Sequence[float]) -> tuple:
    """The best (a, b, c) of those that the starts lead to; x is near one."""
    try:
        from scipy.optimize import least_squares
    except ModuleNotFoundError as error:
        raise InputError(
            "Expected the package scipy, which fits the law. Received: it is "
            "not installed. Run: pip install 'keras_llm[sweep]'"
        ) from error
    found = []
    for c in starts:
        powers = np.stack([np.ones_like(x), x**-c], 1)
        a, b = np.linalg.lstsq(powers, y, rcond=None)[0]
        first = (max(a, 1e-9), max(b, 1e-9), c)
        found.append(
            least_squares(
                lambda law: law[0] + law[1] * x ** -law[2] - y,
                first,
                bounds=((0, 0, 1e-6), (np.inf, np.inf, 10)),
                x_scale=(1, 1, 0.1),
                xtol=1e-12,
                ftol=1e-12,
                gtol=1e-12,
            )
        )
    best = min(found, key=lambda one: one.cost)
    return tuple(float(number) for number in best.x)


def _check(sizes: Any, losses: Any) -> None:
    """Refuses points through which no law can be laid."""
    if sizes.shape != losses.shape or sizes.ndim != 1:
        raise InputError(
            "Expected a loss for each size. Received: "
            f"{sizes.shape} sizes, {losses.shape} losses."
        )
    good = np.isfinite(sizes) & np.isfinite(losses) & (sizes > 0)
    if not good.all():
        raise InputError(
            "Expected sizes above zero and losses that are numbers. Received: "
            f"{sizes.tolist()}, {losses.tolist()}."
        )
    if len(np.unique(sizes)) < LEAST:
        raise InputError(
            f"Expected at least {LEAST} sizes: a law of three numbers goes "
            f"through any three points. Received: {len(np.unique(sizes))}. "
            "Train more sizes."
        )
    if sizes.max() < SPREAD * sizes.min():
        raise InputError(
            f"Expected sizes that differ by a factor of {SPREAD:g} or more. "
            f"Received: {sizes.min():g} to {sizes.max():g}."
        )
