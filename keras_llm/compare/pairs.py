"""Which of two models is better, metric by metric, on the same items."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.corrections import holm
from keras_llm.evaluate.finding import Measure
from keras_llm.evaluate.statistics import (
    Interval,
    Paired,
    paired,
    resampled,
    standard_error,
)

SURE = 0.05  # corrected p-value below which a difference counts as shown


class ItemScores(NamedTuple):
    """A metric of every item, for several models.

    Attributes:
        values: float `(items,)` by model, the items in the same order.
        higher_is_better: Of the values.
        weights: None where the metric is the mean of the values. Else float
            `(items,)`: the metric is the sum of the values over the sum of
            these, as bits over bytes are.

    Example:

    >>> ItemScores({"a": np.ones(2), "b": np.zeros(2)}).weights is None
    True
    """

    values: Mapping[str, np.ndarray]
    higher_is_better: bool = True
    weights: np.ndarray | None = None

    def measure(self, model: str) -> Measure:
        """Returns the metric of a model with its standard error.

        Of a mean by formula, of a sum over a sum by bootstrap.
        """
        values = np.asarray(self.values[model], "float64")
        if self.weights is None:
            return mean_measure(values, self.higher_is_better)
        drawn = resampled(*_ratio(values, self.weights))
        return Measure(
            float(values.sum() / self.weights.sum()),
            float(drawn.std(ddof=1)) if len(values) > 1 else None,
            len(values),
            self.higher_is_better,
        )


class Difference(NamedTuple):
    """Two models and a metric.

    Attributes:
        metric: Its name.
        a: The first model.
        b: The second one.
        lead: By how much the first is better, in the metric's unit; below
            zero the second is. Wins are items where the first is better.
        p_value: The pair's, corrected for all pairs and metrics (Holm).

    Example:

    >>> lead = Paired(0.02, Interval(0.004, 0.04), 0.01, 30, 50, 20)
    >>> print(Difference("copa/acc", "A", "B", lead, 0.02))
    A is better than B on copa/acc by 0.02 (95 %: 0.004 to 0.04; p = 0.02).
    """

    metric: str
    a: str
    b: str
    lead: Paired
    p_value: float

    @property
    def shown(self) -> bool:
        """Whether there is a difference, beyond chance."""
        return self.p_value < SURE

    def __str__(self) -> str:
        gap, (low, high) = self.lead.difference, self.lead.interval
        p = f"p = {self.p_value:.2g}"
        if not self.shown:
            return (
                f"No difference shown between {self.a} and {self.b} on "
                f"{self.metric}: {gap:+.3g} (95 %: {low:+.3g} to {high:+.3g}; "
                f"{p})."
            )
        better, worse = (self.a, self.b) if gap > 0 else (self.b, self.a)
        low, high = (low, high) if gap > 0 else (-high, -low)
        return (
            f"{better} is better than {worse} on {self.metric} by "
            f"{abs(gap):.3g} (95 %: {low:.3g} to {high:.3g}; {p})."
        )


def mean_measure(
    values: Sequence[float] | np.ndarray, higher_is_better: bool | None = True
) -> Measure:
    """Returns the mean of at least one value with its standard error.

    Example:

    >>> mean_measure([0.0, 1.0]).error
    0.5
    """
    numbers = np.asarray(values, "float64")
    error = standard_error(numbers)
    return Measure(float(numbers.mean()), error, len(numbers), higher_is_better)


def compare_pairs(
    metrics: Mapping[str, ItemScores], seed: int = 0
) -> list[Difference]:
    """Compares every pair of models on every metric.

    Intervals are by paired bootstrap; with fewer than about ten items they
    are too narrow. P-values are by random flips of the differences' signs,
    which hold for any number: four items cannot show a difference.

    Args:
        metrics: By name; the models of each are compared with each other.
        seed: Of the bootstrap.

    Returns:
        By metric, then by pair, in the order of the models. The p-values are
        corrected for all of them together.

    Raises:
        InputError: The models have not the same number of items, or one has a
            value that is not finite.

    Source: Koehn 2004, https://aclanthology.org/W04-3250 (bootstrap); Riezler
    & Maxwell 2005, https://aclanthology.org/W05-0908 (randomization); Holm.

    Example:

    >>> scores = ItemScores({"a": np.ones(9), "b": np.zeros(9)})
    >>> (found,) = compare_pairs({"acc": scores})
    >>> found.shown, found.lead.wins
    (True, 9)
    """
    for name, scores in metrics.items():
        _check(name, scores)
    found = [
        Difference(metric, a, b, lead, lead.p_value)
        for metric, scores in metrics.items()
        for a, b in itertools.combinations(scores.values, 2)
        for lead in [_lead(scores, a, b, seed)]
    ]
    corrected = holm([one.p_value for one in found])
    return [
        one._replace(p_value=p) for one, p in zip(found, corrected, strict=True)
    ]


def _lead(scores: ItemScores, a: str, b: str, seed: int) -> Paired:
    """How much better `a` is."""
    first, second = (
        np.asarray(scores.values[name], "float64")
        for name in ((a, b) if scores.higher_is_better else (b, a))
    )
    lead, gaps = paired(first, second, seed=seed), first - second
    if scores.weights is not None:
        drawn = resampled(*_ratio(gaps, scores.weights), seed=seed)
        low, high = np.percentile(drawn, [2.5, 97.5])
        lead = lead._replace(
            difference=float(gaps.sum() / scores.weights.sum()),
            interval=Interval(float(low), float(high)),
        )
    return lead


def _ratio(values: np.ndarray, weights: np.ndarray) -> tuple:
    """Items and statistic of `resampled` for a sum over a sum."""

    def statistic(drawn: np.ndarray) -> np.ndarray:
        sums = drawn.sum(axis=1)
        return sums[:, 0] / sums[:, 1]

    return np.stack([values, weights], axis=1), statistic


def _check(name: str, scores: ItemScores) -> None:
    counts = {model: len(values) for model, values in scores.values.items()}
    if scores.weights is not None:
        counts["the weights"] = len(scores.weights)
    if len(set(counts.values())) > 1:
        raise InputError(
            f"Expected as many items of {name} from every model. Received: "
            f"{', '.join(f'{n} of {model}' for model, n in counts.items())}. "
            "Evaluate all on the same items."
        )
    for model, values in scores.values.items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise InputError(
                f"Expected finite values of {name} from {model}. Received: "
                f"{values[wrong[0]]:g} of item {wrong[0]}."
            )
