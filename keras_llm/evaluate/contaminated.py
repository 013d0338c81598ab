"""Contamination: which items of a benchmark stand in the training corpus."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_llm.data.document import Document
from keras_llm.data.duplicates.benchmark_words import (
    FEWEST,
    Contaminated,
    Items,
    blocks_of,
)
from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Block, Measure, Table, Words
from keras_llm.progress import track

WORDS = 13
_SHOWN = 50
_EXCERPT = 160  # characters


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContaminationReport:
    """Which items of benchmarks stand in a training corpus; a `Finding`.

    Attributes:
        items: By benchmark, how many items it has.
        too_short: By benchmark, the numbers of items with too few words to
            be told from chance; they are not looked for.
        found: The contaminated items, by benchmark and number.
        size: Words of an n-gram.
        documents, words: How much of the corpus was read.

    Example:

    >>> one = Contaminated(benchmark="copa", item=1, share=1.0, source="a.txt",
    ...     text="the man lost his balance on the ladder")
    >>> report = ContaminationReport(items={"copa": 3}, found=[one], size=13,
    ...     too_short={"copa": []}, documents=9, words=900)
    >>> report.clean("copa")
    [0, 2]
    """

    items: Mapping[str, int]
    too_short: Mapping[str, Sequence[int]]
    found: Sequence[Contaminated]
    size: int
    documents: int
    words: int
    title: str = "Contamination"

    def contaminated(self, benchmark: str) -> list[int]:
        """Returns the numbers of its contaminated items.

        Raises:
            InputError: No such benchmark was looked for.
        """
        if benchmark not in self.items:
            raise InputError(
                f"Expected a benchmark among {', '.join(self.items)}. "
                f"Received: {benchmark!r}."
            )
        return [one.item for one in self.found if one.benchmark == benchmark]

    def clean(self, benchmark: str) -> list[int]:
        """Returns the numbers of all other items, to be scored alone.

        Raises:
            InputError: No such benchmark was looked for.
        """
        dirty = set(self.contaminated(benchmark))
        return [n for n in range(self.items[benchmark]) if n not in dirty]

    def measures(self) -> dict[str, Measure]:
        """Returns the contaminated share of each benchmark."""
        return {
            f"contamination/{name}": Measure(
                len(self.contaminated(name)) / count, None, count, False
            )
            for name, count in self.items.items()
        }

    def blocks(self) -> list[Block]:
        """Returns the shares and the worst items."""
        shares = [
            {
                "benchmark": name,
                "items": count,
                "contaminated": len(self.contaminated(name)),
                "share": len(self.contaminated(name)) / count,
                "too short to tell": len(self.too_short[name]),
            }
            for name, count in self.items.items()
        ]
        worst = sorted(self.found, key=lambda one: -one.share)[:_SHOWN]
        return [
            Words(
                f"An item is contaminated when {self.size} of its words in a "
                "row stand in the training corpus, letter case and "
                "punctuation aside; of a shorter item all words, if there "
                f"are at least {FEWEST}. {self.documents:,} documents with "
                f"{self.words:,} words were read. The numbers of all "
                "contaminated items are in results.json."
            ),
            Table(shares, "Share of contaminated items."),
            Table(
                [
                    {
                        "benchmark": one.benchmark,
                        "item": one.item,
                        "share of it": one.share,
                        "found in": one.source,
                        "words": one.text[:_EXCERPT],
                    }
                    for one in worst
                ],
                f"The {len(worst)} items of which most was found.",
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return dataclasses.asdict(self)


def contamination(
    benchmarks: Mapping[str, Sequence[str]],
    corpus: Iterable[Document],
    size: int = WORDS,
) -> ContaminationReport:
    """Looks for the items of benchmarks in a training corpus.

    The corpus is read once, front to back, whatever its size; memory grows
    with the benchmarks alone.

    Args:
        benchmarks: By name, the text of each item in the benchmark's order:
            question and right answer, for example.
        corpus: What a model was trained on: `data.read_corpus(folder)`.
        size: Words of an n-gram, at least 8.

    Raises:
        InputError: A benchmark or the corpus is empty, or `size` is below 8.

    Words are what white space separates, so texts in Chinese, Japanese or
    Thai have too few to be looked for.

    Source: Brown et al. 2020, appendix C, https://arxiv.org/abs/2005.14165;
    the words are those of the lm-evaluation-harness's decontamination.

    Example:

    >>> item = "What did the quick brown fox do to the lazy dog? It jumped."
    >>> corpus = [Document("So: what did the quick brown fox do to the lazy "
    ...     "dog, it jumped!", "fox.txt")]
    >>> report = contamination({"fables": [item, "Who ran? A hare."]}, corpus)
    >>> report.contaminated("fables"), report.too_short["fables"]
    ([0], [1])
    """
    items = Items(benchmarks, size)
    documents = words = 0
    whole = len(corpus) if isinstance(corpus, Sequence) else None
    tracked = track(corpus, "searching", whole)
    for numbers, ends, block in blocks_of(items.vocabulary, tracked):
        items.look_in(numbers, ends, block)
        documents, words = documents + len(ends), words + int(ends[-1])
    if not documents:
        raise InputError(
            "Expected a training corpus of at least one document. Received: "
            "an empty one. An iterator can be read only once: read it again."
        )
    return ContaminationReport(
        items={name: len(texts) for name, texts in benchmarks.items()},
        too_short=items.too_short(),
        found=items.found(),
        size=size,
        documents=documents,
        words=words,
    )
