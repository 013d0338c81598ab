"""What is kept of a stream of losses: sums, counts, and the worst of it."""

import heapq
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.evaluate.finding import Measure
from keras_llm.evaluate.readings import Reading

BUCKETS = 32  # powers of two of the context
EDGES = np.append(np.arange(0, 20.5, 0.5), np.inf)  # nats, of the histogram
PASSAGE = 64  # tokens
NATS, TOKENS, WORDS, BYTES = range(4)  # columns of `Sums.rows`
_SPACE = re.compile(r"\s+")


class Passage(NamedTuple):
    """A part of a document, token by token.

    Attributes:
        loss: Mean, in nats per token.
        source: Of its document.
        begin: Its first token's number in the document.
        tokens: As text.
        losses: In nats.

    Example:

    >>> Passage(2.0, "a.txt", 0, ["a"], [2.0]).source
    'a.txt'
    """

    loss: float
    source: str
    begin: int
    tokens: list[str]
    losses: list[float]


class Sums:
    """Adds readings up; memory grows with documents, not with tokens.

    Args:
        worst: How many passages to keep.

    Attributes:
        rows: For each document its nats, tokens, words and bytes.
        positions: For each document nats and tokens by `log2` of the context.
        counts: Tokens by loss, between `EDGES`.

    Example:

    >>> Sums(worst=3).rows
    []
    """

    def __init__(self, worst: int):
        self.worst = worst
        self.rows: list[tuple[float, int, int, int]] = []
        self.positions: list[np.ndarray] = []
        self.counts = np.zeros(len(EDGES) - 1, "int64")
        self._worst: list[tuple[float, int, Passage]] = []
        self._order = itertools.count()  # so that passages are not compared

    def add(self, reading: Reading) -> None:
        """Counts one document."""
        known = ~np.isnan(reading.losses)
        losses, text = reading.losses[known], reading.document.text
        self.rows.append(
            (
                float(losses.sum()),
                len(losses),
                len(_SPACE.split(text)),
                len(text.encode("utf-8", "surrogatepass")),
            )
        )
        buckets = np.frexp(reading.contexts[known])[1] - 1
        self.positions.append(
            np.stack(
                [
                    np.bincount(buckets, losses, BUCKETS),
                    np.bincount(buckets, minlength=BUCKETS),
                ]
            )
        )
        self.counts += np.histogram(np.maximum(losses, 0.0), EDGES)[0]
        self._keep_worst(reading)

    def passages(self) -> list[Passage]:
        """Returns the worst passages, the worst first."""
        return [one for _, _, one in sorted(self._worst, key=lambda w: -w[0])]

    def _keep_worst(self, reading: Reading) -> None:
        """A passage is whole, or the whole of a short document."""
        size = len(reading.losses)
        for begin in range(0, max(1, size - PASSAGE + 1), PASSAGE):
            end = min(begin + PASSAGE, size)
            losses = reading.losses[begin:end]
            known = losses[~np.isnan(losses)]
            if not len(known) or not self.worst:
                continue
            loss, full = float(known.mean()), len(self._worst) == self.worst
            if full and loss <= self._worst[0][0]:
                continue
            passage = Passage(
                *(loss, reading.document.source, begin),
                list(reading.tokens[begin:end]),
                losses.tolist(),
            )
            push = heapq.heappushpop if full else heapq.heappush
            push(self._worst, (loss, -next(self._order), passage))


def ratio_error(sums: np.ndarray, counts: np.ndarray) -> float | None:
    """Returns the standard error of `sum(sums) / sum(counts)`.

    Documents are what was drawn, so the error is over documents; None below
    two of them. By the delta method, which the bootstrap over documents
    agrees with.

    Args:
        sums: `(documents,)`, for example nats.
        counts: `(documents,)`, for example tokens.

    Source: Cochran 1977, Sampling Techniques, 6.4: the ratio estimate.

    Example:

    >>> round(ratio_error(np.array([1.0, 3.0]), np.array([2, 2])), 3)
    0.5
    """
    total = counts.sum()
    if len(counts) < 2 or not total:
        return None
    rest = sums - counts * (sums.sum() / total)
    size = len(counts)
    return float(np.sqrt(size / (size - 1) * (rest**2).sum()) / total)


def ratio(sums: np.ndarray, counts: np.ndarray) -> Measure:
    """Returns `sum(sums) / sum(counts)` over documents; lower is better.

    Example:

    >>> ratio(np.array([1.0, 3.0]), np.array([2, 2])).value
    1.0
    """
    value = float(sums.sum() / counts.sum())
    return Measure(value, ratio_error(sums, counts), len(counts), False)


def scores_of(rows: np.ndarray) -> dict[str, Measure]:
    """Returns the scores of documents together.

    Args:
        rows: float64 `(documents, 4)`, as `Sums.rows`.

    Example:

    >>> scores = scores_of(np.array([[2.0, 2, 1, 4], [2.0, 2, 1, 4]]))
    >>> scores["nats_per_token"].value, round(scores["perplexity"].value, 3)
    (1.0, 2.718)
    """
    nats = rows[:, NATS]
    return {
        "bits_per_byte": ratio(nats / math.log(2), rows[:, BYTES]),
        "nats_per_token": ratio(nats, rows[:, TOKENS]),
        "perplexity": _exp(ratio(nats, rows[:, TOKENS])),
        "word_perplexity": _exp(ratio(nats, rows[:, WORDS])),
    }


def domain_rows(
    rows: np.ndarray, domains: Sequence[str], most: int
) -> list[dict[str, Any]]:
    """Returns the scores of each domain, the largest first.

    Args:
        rows: float64 `(documents, 4)`, as `Sums.rows`.
        domains: Of each document.
        most: How many are listed; smaller ones are one row together.

    Example:

    >>> rows = np.array([[2.0, 2, 1, 4], [3.0, 2, 1, 4], [4.0, 2, 1, 9]])
    >>> [row["domain"] for row in domain_rows(rows, ["a", "b", "a"], 5)]
    ['a', 'b']
    """
    names, numbers = np.unique(np.array(domains), return_inverse=True)
    sizes = np.bincount(numbers, rows[:, BYTES])
    order = np.argsort(-sizes, kind="stable")
    parts = [(str(names[one]), numbers == one) for one in order[:most]]
    if len(order) > most:
        rest = np.isin(numbers, order[most:])
        parts.append((f"{len(order) - most} smaller domains", rest))
    found = []
    for name, mine in parts:
        scores = scores_of(rows[mine]) if rows[mine, TOKENS].sum() else {}
        row = {
            "domain": name or "no source",
            "documents": int(mine.sum()),
            "tokens": int(rows[mine, TOKENS].sum()),
            "bits per byte": scores.get("bits_per_byte"),
            "perplexity": scores.get("perplexity"),
            "word perplexity": scores.get("word_perplexity"),
        }
        found.append(row)
    return found


def position_rows(positions: np.ndarray) -> list[dict[str, Any]]:
    """Returns the loss by how many tokens were read before.

    Args:
        positions: float64 `(documents, 2, BUCKETS)`, as `Sums.positions`.

    Example:

    >>> positions = np.zeros((1, 2, BUCKETS))
    >>> positions[0, :, 2] = 8.0, 4
    >>> position_rows(positions)[0]["from"], position_rows(positions)[0]["to"]
    (4, 7)
    """
    return [
        {
            "from": 2**bucket,
            "to": 2 ** (bucket + 1) - 1,
            "tokens": int(positions[:, 1, bucket].sum()),
            "nats per token": ratio(
                positions[:, 0, bucket], positions[:, 1, bucket]
            ),
        }
        for bucket in range(BUCKETS)
        if positions[:, 1, bucket].any()
    ]


def _exp(measure: Measure) -> Measure:
    """exp of a measure; its error by the delta method."""
    value = math.exp(min(measure.value, 700.0))
    error = None if measure.error is None else value * measure.error
    return measure._replace(value=value, error=error)
