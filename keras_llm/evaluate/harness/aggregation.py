"""From what each document gave to one number and its standard error."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.overlap import Overlap, bleu, chrf, ter
from keras_llm.evaluate.statistics import resampled, standard_error

# From the documents' values, the number of resamples and a seed to the number
# and its standard error, None where there is none.
Aggregation: TypeAlias = Callable[
    [Sequence[Any], int, int], tuple[float, float | None]
]
# From (resamples, documents) or (resamples, documents, 2) to (resamples,).
Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]


def mean(
    values: Sequence[float], resamples: int = 0, seed: int = 0
) -> tuple[float, float | None]:
    """Returns the mean and its standard error by the formula.

    Example:

    >>> mean([1.0, 0.0, 1.0, 0.0])
    (0.5, 0.28...)
    """
    numbers = np.asarray(values, "float64")
    return float(numbers.mean()), standard_error(numbers)


def bootstrapped(statistic: Statistic) -> Aggregation:
    """Returns the aggregation by a statistic, its error by bootstrap.

    Args:
        statistic: Over the documents, of many resamples at once.

    Example:

    >>> value, error = bootstrapped(_perplexity)([-1.0, -1.0], 100, 0)
    >>> round(value, 3), round(error, 3)
    (2.718, 0.0)
    """

    def aggregate(
        values: Sequence[Any], resamples: int, seed: int
    ) -> tuple[float, float | None]:
        numbers = np.asarray(values, "float64")
        with np.errstate(over="ignore", invalid="ignore"):
            value = float(statistic(numbers[None])[0])
            if resamples < 2 or len(numbers) < 2 or not math.isfinite(value):
                return value, None
            drawn = resampled(numbers, statistic, resamples, seed)
        return value, float(drawn.std(ddof=1))

    return aggregate


def binary_f1(drawn: np.ndarray) -> np.ndarray:
    """Returns F1 of class 1 from pairs of right and predicted classes.

    Args:
        drawn: `(resamples, documents, 2)`.

    Raises:
        InputError: There are other classes than 0 and 1.

    Source: `sklearn.metrics.f1_score`, as the harness uses it.

    Example:

    >>> binary_f1(np.array([[[1, 1], [1, 0], [0, 0]]])).round(3).tolist()
    [0.667]
    """
    if drawn.max(initial=0) > 1:
        raise InputError(
            "Expected choices 0 and 1 for the metric f1. Received: more than "
            "two choices. Use acc or mcc."
        )
    right, said = drawn[..., 0], drawn[..., 1]
    both = (right * said).sum(axis=1)
    either = right.sum(axis=1) + said.sum(axis=1)
    return 2 * both / np.maximum(either, 1)


def matthews(drawn: np.ndarray) -> np.ndarray:
    """Returns Matthews' correlation of right and predicted classes.

    Args:
        drawn: `(resamples, documents, 2)`.

    Source: Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006,
    as `sklearn.metrics.matthews_corrcoef`; 0 where one side has one class.

    Example:

    >>> matthews(np.array([[[1, 1], [0, 0], [1, 0]]])).round(3).tolist()
    [0.5]
    """
    count = drawn.shape[1]
    classes = range(int(drawn.max(initial=0)) + 1)
    right = np.stack([(drawn[..., 0] == c).sum(axis=1) for c in classes], 1)
    said = np.stack([(drawn[..., 1] == c).sum(axis=1) for c in classes], 1)
    hits = (drawn[..., 0] == drawn[..., 1]).sum(axis=1)
    top = hits * count - (right * said).sum(axis=1)
    spread = count**2 - (right**2).sum(axis=1), count**2 - (said**2).sum(axis=1)
    below = np.sqrt(np.asarray(spread[0] * spread[1], "float64"))
    return np.where(below > 0, top / np.maximum(below, 1), 0.0)


def _overlap(score: Callable[..., Overlap], **options: Any) -> Aggregation:
    """A score of sacrebleu over all documents: values are (golds, text)."""

    def aggregate(
        values: Sequence[Any], resamples: int, seed: int
    ) -> tuple[float, float | None]:
        golds, texts = zip(*values, strict=True)
        draws = resamples if len(texts) > 1 else 0
        found = score(texts, golds, resamples=draws, **options)
        if found.interval is None:
            return found.score, None
        low, high = found.interval
        return found.score, (high - low) / (2 * 1.959964)  # 95 %, normal

    return aggregate


def _perplexity(drawn: np.ndarray) -> np.ndarray:
    return np.exp(-drawn.mean(axis=1))


def _per_unit(drawn: np.ndarray) -> np.ndarray:
    """Nats per word or byte, from pairs of log-probability and size."""
    return -drawn[..., 0].sum(axis=1) / drawn[..., 1].sum(axis=1)


def _upper_median(drawn: np.ndarray) -> np.ndarray:
    return np.sort(drawn, axis=1)[:, drawn.shape[1] // 2]


def _nanmean(drawn: np.ndarray) -> np.ndarray:
    there = ~np.isnan(drawn)
    total = np.where(there, drawn, 0.0).sum(axis=1)
    return total / there.sum(axis=1)


AGGREGATIONS: dict[str, Aggregation] = {
    "mean": mean,
    "median": bootstrapped(_upper_median),
    "nanmean": bootstrapped(_nanmean),
    "perplexity": bootstrapped(_perplexity),
    "weighted_perplexity": bootstrapped(lambda d: np.exp(_per_unit(d))),
    "bits_per_byte": bootstrapped(lambda d: _per_unit(d) / math.log(2)),
    "f1": bootstrapped(binary_f1),
    "matthews_corrcoef": bootstrapped(matthews),
    "brier_score": mean,  # of each document's own
    "bleu": _overlap(bleu),
    "bleu_zh": _overlap(bleu, tokenize="zh"),
    "bleu_char": _overlap(bleu, tokenize="char"),  # without spaces: Japanese
    "chrf": _overlap(chrf, word_order=0),
    "chrf++": _overlap(chrf, word_order=2),
    "ter": _overlap(ter),
}
