"""How well a tagger finds spans, each number with its error."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.classify.spans import span_scores, spans_of
from keras_llm.evaluate.finding import Block, Measure, Table, Words
from keras_llm.evaluate.statistics import resampled

RESAMPLES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanReport:
    """How well spans are found; a `Finding`.

    Attributes:
        title: The heading of its section.
        name: Before the names of its measures, as in "entities/f1".
        numbers: `sentences`, `accuracy` of words, and what `span_scores`
            gives.
        errors: Standard errors by the same names, by bootstrap over
            sentences.

    Example:

    >>> report = span_report([["B-x", "O", "B-y"]], [["B-x", "O", "O"]])
    >>> report.measures()["spans/recall"].value
    0.5
    """

    title: str
    name: str
    numbers: dict[str, Any]
    errors: dict[str, float]

    def measures(self) -> dict[str, Measure]:
        """Returns every number that is one of all sentences."""
        return {
            f"{self.name}/{key}": Measure(
                value, self.errors.get(key), self.numbers["sentences"]
            )
            for key, value in self.numbers.items()
            if isinstance(value, float)
        }

    def blocks(self) -> list[Block]:
        """Returns the scores, and those of each kind of span."""
        rows = [
            {"score": name.partition("/")[2], "value": measure}
            for name, measure in self.measures().items()
        ]
        kinds = [
            {"kind": name, **row} for name, row in self.numbers["kinds"].items()
        ]
        count = self.numbers["sentences"]
        return [
            Words(f"{count:,} sentences; a span is right if all of it is."),
            Table(rows, "Scores of all spans, ± standard error."),
            *([Table(kinds, "Scores of each kind.")] if kinds else []),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers, and their errors as `errors`."""
        return {**self.numbers, "errors": self.errors}


def span_report(
    truth: Sequence[Sequence[str]],
    found: Sequence[Sequence[str]],
    title: str = "Spans",
    name: str = "spans",
) -> SpanReport:
    """Returns precision, recall and F1 of spans with their errors.

    Args:
        truth: The tags of each sentence.
        found: Those that were given.
        title: The heading of the report's section.
        name: Before the names of its measures.

    Raises:
        InputError: The two have other lengths, or there is no sentence.

    Source: as for `span_scores`.

    Example:

    >>> span_report([["B-x", "I-x"]], [["B-x", "O"]]).numbers["accuracy"]
    0.5
    """
    scores = span_scores(truth, found)
    words = [
        (sum(a == b for a, b in zip(*pair, strict=True)), len(pair[0]))
        for pair in zip(truth, found, strict=True)
    ]
    counts = np.array(
        [
            (len(right & given), len(given), len(right), *word)
            for right, given, word in zip(
                map(set, map(spans_of, truth)),
                map(set, map(spans_of, found)),
                words,
                strict=True,
            )
        ]
    ).reshape(-1, 5)
    errors = {
        key: float(
            resampled(
                counts,
                lambda drawn, key=key: _rate(drawn.sum(1), key),
                RESAMPLES,
            ).std(ddof=1)
        )
        for key in _PARTS
    }
    accuracy = _rate(counts.sum(0, keepdims=True), "accuracy")[0]
    numbers = {
        "sentences": len(truth),
        "accuracy": float(accuracy),
        **scores,
    }
    return SpanReport(title=title, name=name, numbers=numbers, errors=errors)


# Columns of the counts: what is counted twice over, and over what.
_PARTS = {
    "precision": ((0,), (1,)),
    "recall": ((0,), (2,)),
    "f1": ((0, 0), (1, 2)),
    "accuracy": ((3,), (4,)),
}


def _rate(counts: np.ndarray, key: str) -> np.ndarray:
    above, below = (counts[:, list(part)].sum(1) for part in _PARTS[key])
    return above / np.maximum(below, 1)
