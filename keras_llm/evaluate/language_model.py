"""How well a model predicts texts: perplexity and bits per byte, and where."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_llm.data.document import Document
from keras_llm.errors import InputError
from keras_llm.evaluate.finding import (
    Block,
    HeatMap,
    Measure,
    Picture,
    Table,
    Title,
    Words,
)
from keras_llm.evaluate.language_sums import (
    EDGES,
    Passage,
    Sums,
    domain_rows,
    position_rows,
    scores_of,
)
from keras_llm.evaluate.readings import readings
from keras_llm.evaluate.statistics import Interval, bootstrap

DOMAINS = 30  # rows of the table
RESAMPLES = 1000
_PART = re.compile(r"([:#]\d+)+$")  # a line of a file, a part of a document


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageReport:
    """How well a model predicts texts; a `Finding`.

    Attributes:
        title: "Language modelling", or with the name of the texts.
        name: Of the texts, the first part of the measures' names.
        documents, tokens, words, bytes: How much was scored, each token once.
        scores: By name: `nats_per_token`, `perplexity` (per token),
            `word_perplexity`, `bits_per_byte`, with standard errors over
            documents.
        bits_interval: 95 % of the bits per byte, by bootstrap of documents.
        domains: A row for each domain, the largest first.
        positions: A row for each power of two of tokens read before.
        histogram: How many tokens have a loss between the `EDGES`.
        passages: The worst.

    Example:

    >>> rate = Measure(1.0, None, 1, False)
    >>> report = LanguageReport(title="Language modelling", name="language",
    ...     documents=1, tokens=2, words=1, bytes=2,
    ...     scores={"bits_per_byte": rate}, bits_interval=Interval(1.0, 1.0),
    ...     domains=[], positions=[], histogram=[2], passages=[])
    >>> list(report.measures())
    ['language/bits_per_byte']
    """

    title: str
    name: str
    documents: int
    tokens: int
    words: int
    bytes: int
    scores: Mapping[str, Measure]
    bits_interval: Interval
    domains: Sequence[Mapping[str, Any]]
    positions: Sequence[Mapping[str, Any]]
    histogram: Sequence[int]
    passages: Sequence[Passage]

    def measures(self) -> dict[str, Measure]:
        """Returns the four scores as `name/score`."""
        return {f"{self.name}/{key}": one for key, one in self.scores.items()}

    def blocks(self) -> list[Block]:
        """Returns tables by domain and position, pictures, worst passages."""
        low, high = self.bits_interval
        blocks: list[Block] = [
            Words(
                f"{self.documents:,} documents, {self.tokens:,} tokens, "
                f"{self.words:,} words, {self.bytes:,} bytes, each token "
                "scored once. Lower is better. Bits per byte compare across "
                "tokenizers; perplexities do not. Bits per byte are between "
                f"{low:.4f} and {high:.4f} (95 %, bootstrap over documents)."
            )
        ]
        if len(self.domains) > 1:
            blocks += [
                Title("By domain"),
                Table(self.domains, "± is the standard error over documents."),
            ]
        blocks += [
            Title("By position"),
            Table(self.positions, "Tokens by how many were read before them."),
            Picture(
                self._position_figure(),
                "Loss against the tokens read before: it falls as far as the "
                "model makes use of its context.",
            ),
            Title("Losses of single tokens"),
            Picture(
                self._histogram_figure(),
                "How many tokens have which loss; the last bar has all above.",
            ),
        ]
        blocks += [Title("Worst passages")] if self.passages else []
        for passage in self.passages:
            blocks.append(
                HeatMap(
                    passage.tokens,
                    passage.losses,
                    f"Loss of each token in nats, {passage.loss:.2f} on "
                    f"average; {passage.source or 'no source'}, from token "
                    f"{passage.begin:,} on.",
                )
            )
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        plain = {
            "scores": {
                name: one._asdict() for name, one in self.scores.items()
            },
            "bits_interval": list(self.bits_interval),
            "domains": [_plain_row(row) for row in self.domains],
            "positions": [_plain_row(row) for row in self.positions],
            "histogram": list(self.histogram),
            "histogram_edges": EDGES[:-1].tolist(),
            "passages": [one._asdict() for one in self.passages],
        }
        return values | plain

    def _position_figure(self) -> Any:
        from keras_llm.figures import new_figure

        figure = new_figure(8, 3.6)
        axes = figure.subplots()
        losses = [row["nats per token"] for row in self.positions]
        axes.errorbar(
            [row["from"] for row in self.positions],
            [one.value for one in losses],
            [one.error or 0.0 for one in losses],
            fmt="o-",
            capsize=3,
        )
        axes.set(xlabel="tokens read before", ylabel="nats per token")
        axes.set_xscale("log", base=2)
        axes.grid(alpha=0.3)
        return figure

    def _histogram_figure(self) -> Any:
        from keras_llm.figures import new_figure

        figure = new_figure(8, 3.2)
        axes = figure.subplots()
        axes.bar(EDGES[:-1], self.histogram, width=0.45, align="edge")
        axes.set(xlabel="loss (nats)", ylabel="tokens")
        axes.grid(alpha=0.3, axis="y")
        return figure


def language_report(
    reader: Any,
    documents: Iterable[Document | str],
    name: str = "language",
    stride: int | None = None,
    domain: Callable[[Document], str] | None = None,
    worst: int = 3,
    seed: int = 0,
) -> LanguageReport:
    """Scores every token of every document, and says where it is hard.

    One pass, whose memory grows with the number of documents but not with
    their length.

    Args:
        reader: A `CausalLM`, or a `Subject` that has `token_scores`.
        documents: Held-out texts; empty ones are left out.
        name: Of the texts, the first part of the measures' names.
        stride: Tokens scored by each window after a document's first; see
            `rolling_windows`. Default: disjoint windows, as the
            lm-evaluation-harness. Not for models behind an address.
        domain: What a document counts under. Default: its `source` without
            the number of a line or part.
        worst: How many of the worst passages of 64 tokens are shown.
        seed: Of the bootstrap.

    Raises:
        InputError: There is no text, `reader` is of another kind, or has no
            windows for a stride.

    Source: word perplexity and bits per byte as the lm-evaluation-harness
    defines them, over documents together; words are what white space
    separates.

    Example:

    >>> from keras_llm.evaluate.subject import ScoredTokens
    >>> class Coin:
    ...     def token_scores(self, texts):
    ...         return [ScoredTokens(list(text),
    ...             np.full(len(text), -np.log(2))) for text in texts]
    >>> report = language_report(Coin(), ["a rose", "is a rose"])
    >>> round(report.measures()["language/bits_per_byte"].value, 6)
    1.0
    """
    sums = Sums(worst)
    domains: list[str] = []
    for reading in readings(reader, _as_documents(documents), stride):
        sums.add(reading)
        domains.append((domain or _domain)(reading.document))
    rows = np.array(sums.rows).reshape(-1, 4)
    if not rows[:, 1].sum():
        raise InputError(
            "Expected at least one text to evaluate on. Received: none. "
            "Curate with a larger held-out share."
        )
    return LanguageReport(
        title="Language modelling" + f": {name}" * (name != "language"),
        name=name,
        documents=len(rows),
        tokens=int(rows[:, 1].sum()),
        words=int(rows[:, 2].sum()),
        bytes=int(rows[:, 3].sum()),
        scores=scores_of(rows),
        bits_interval=_bits_interval(rows, seed),
        domains=domain_rows(rows, domains, DOMAINS),
        positions=position_rows(np.array(sums.positions)),
        histogram=sums.counts.tolist(),
        passages=sums.passages(),
    )


def _as_documents(given: Iterable[Document | str]) -> Iterable[Document]:
    if isinstance(given, Sequence):  # keeps its length for the bar
        return [_as_document(one) for one in given]
    return map(_as_document, given)


def _as_document(given: Document | str) -> Document:
    return Document(given, "") if isinstance(given, str) else given


def _domain(document: Document) -> str:
    return _PART.sub("", document.source)


def _bits_interval(rows: np.ndarray, seed: int) -> Interval:
    """Resamples whole documents: the tokens of one belong together."""

    def bits(drawn: np.ndarray) -> np.ndarray:
        nats, size = drawn[..., 0].sum(axis=1), drawn[..., 1].sum(axis=1)
        return nats / size / math.log(2)

    return bootstrap(rows[:, [0, 3]], bits, RESAMPLES, seed=seed)


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: one._asdict() if isinstance(one, Measure) else one
        for name, one in row.items()
    }
