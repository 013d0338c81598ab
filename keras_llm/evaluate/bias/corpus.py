"""Bias of a corpus: who is mentioned, how often, where and next to what."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_llm.data.document import Document
from keras_llm.errors import InputError
from keras_llm.evaluate.bias.corpus_counts import CorpusCounts
from keras_llm.evaluate.bias.corpus_rows import (
    mention_rows,
    near_rows,
    source_rows,
)
from keras_llm.evaluate.bias.mentions import WordLists, load_words
from keras_llm.evaluate.bias.pictures import bars, heat_map
from keras_llm.evaluate.bias.rows import measure_name
from keras_llm.evaluate.finding import (
    Block,
    Measure,
    Picture,
    Table,
    Title,
    Words,
)
from keras_llm.progress import track

SHOWN = 20  # sources, and words of a picture


@dataclasses.dataclass(frozen=True)
class CorpusBiasReport:
    """Who a corpus speaks of.

    Attributes:
        documents: How many were read.
        words: How many, by white space.
        mentions: For each group `kind`, `group`, `mentions`, `documents`
            (that mention it), `per_million` (words) with `stderr` (over
            documents, None for a single one) and `share` of its kind.
        sources: The largest first: `source`, `documents`, `words` and
            `per_million`, a number for each group by "kind/group".
        near: Words that stand near groups: `kind`, `group`, `list`, `word`,
            `count`, `others` (near the other groups of the kind),
            `log_odds`, `z` and `p_holm` (corrected over all rows), the
            largest |z| first. Words that stood there fewer than 5 times are
            left out.
        lengths: Documents by length: `words_below` (a power of two) and
            `documents`.
        window: Words on either side that count as near.
        title: Of the section.

    Example:

    >>> report = corpus_bias([Document("She is a nurse.", "a.txt")])
    >>> report.mentions[0]["group"], report.mentions[0]["mentions"]
    ('female', 1)
    """

    documents: int
    words: int
    mentions: Sequence[dict[str, Any]]
    sources: Sequence[dict[str, Any]]
    near: Sequence[dict[str, Any]]
    lengths: Sequence[dict[str, int]]
    window: int
    title: str = "Whom the corpus speaks of"

    def measures(self) -> dict[str, Measure]:
        """Returns mentions per million words and shares, by kind and group."""
        found = {}
        for row in self.mentions:
            name = f"corpus/{measure_name(row['kind'], row['group'])}"
            found[f"{name}_per_million"] = Measure(
                row["per_million"], row["stderr"], self.words, None
            )
            if row["share"] is not None:
                found[f"{name}_share"] = Measure(
                    row["share"], higher_is_better=None
                )
        return found

    def blocks(self) -> list[Block]:
        """Returns tables and pictures of mentions, sources and neighbours."""
        caption = "Mentions of each group per million words."
        return [
            Words(
                f"{self.documents:,} documents, {self.words:,} words. A "
                "mention is a word or phrase of a list; who is spoken of "
                "without such a word is not counted, nor what is said."
            ),
            bars(
                [
                    row | {"value": row["per_million"], "error": row["stderr"]}
                    for row in self.mentions
                ],
                "per million words",
                caption,
            ),
            Table([_shown(row) for row in self.mentions], caption),
            *self._source_blocks(),
            *self._near_blocks(),
            Title("Lengths"),
            Table(list(self.lengths), "Documents by their number of words."),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return dataclasses.asdict(self)

    def _kinds(self) -> list[str]:
        return list(dict.fromkeys(row["kind"] for row in self.mentions))

    def _source_blocks(self) -> list[Block]:
        """A table of each kind, if there are several sources."""
        if len(self.sources) < 2:
            return []
        return [
            Title("By source, per million words"),
            *(
                Table(
                    [_of_source(row, kind) for row in self.sources[:SHOWN]],
                    f"Mentions by {kind}, in the largest sources.",
                )
                for kind in self._kinds()
            ),
        ]

    def _near_blocks(self) -> list[Block]:
        """A picture of each kind and list, and what is beyond chance."""
        blocks: list[Block] = []
        kinds = self._kinds()
        pairs = {(row["kind"], row["list"]) for row in self.near}
        for kind, name in sorted(pairs, key=lambda p: (kinds.index(p[0]), p)):
            rows = [
                row
                for row in self.near
                if (row["kind"], row["list"]) == (kind, name)
            ]
            caption = f"{name} near each {kind}: z of the log-odds."
            blocks.append(_picture(rows, caption[0].upper() + caption[1:]))
        sure = [
            row for row in self.near if row["p_holm"] < 0.05 and row["z"] > 0
        ]
        text = (
            f"{len(sure)} times a word stands near a group (within "
            f"{self.window} words) more often than near the other groups of "
            "its kind beyond chance. Chance assumes that mentions are "
            "independent; within one text they are not, so that words of a "
            "single long document are found too easily."
        )
        blocks = [Title("Next to what"), Words(text), *blocks]
        return blocks + ([Table(sure[:SHOWN], "Strongest.")] if sure else [])


def corpus_bias(
    documents: Iterable[Document],
    words: WordLists | None = None,
    window: int = 10,
    progress: bool = True,
) -> CorpusBiasReport:
    """Counts who is mentioned in a corpus, in one pass.

    Memory does not grow with the corpus: counts by term, by source (the first
    1,000; later ones together) and by pair of a term and a word near it are
    kept, and one document at a time.

    Args:
        documents: For example `read_documents(...)` or `read_corpus(...)`. A
            source is a `Document.source` without its line.
        words: Default: `load_words()`, lists in English.
        window: Words on either side of a mention that count as near, within
            a document.
        progress: Whether a bar is shown.

    Raises:
        InputError: There is no document, or the window is below 1.

    Source: log-odds with an informative prior, Monroe et al. 2008,
    https://doi.org/10.1093/pan/mpn018; mentions after Gehman et al. 2020 and
    Dodge et al. 2021, https://aclanthology.org/2021.emnlp-main.98.

    Example:

    >>> texts = ["She is a kind nurse.", "He was an engineer, his boss too."]
    >>> report = corpus_bias([Document(text, "me") for text in texts])
    >>> [row["mentions"] for row in report.mentions[:2]]
    [1, 2]
    """
    if window < 1:
        raise InputError(f"Expected a window of 1 or more. Received: {window}.")
    words = load_words() if words is None else words
    counts = CorpusCounts(words, window)
    for document in track(documents, "reading") if progress else documents:
        counts.add(document)
    if not counts.documents:
        raise InputError("Expected at least one document. Received: none.")
    bits = range(max(counts.lengths) + 1)
    return CorpusBiasReport(
        documents=counts.documents,
        words=counts.words,
        mentions=mention_rows(counts, words),
        sources=source_rows(counts, words),
        near=near_rows(counts, words),
        lengths=[
            {"words_below": 1 << bit, "documents": counts.lengths[bit]}
            for bit in bits
        ],
        window=window,
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": row["kind"],
        "group": row["group"],
        "mentions": row["mentions"],
        "documents": row["documents"],
        "per million words": Measure(row["per_million"], row["stderr"]),
        "share of the kind": "" if row["share"] is None else row["share"],
    }


def _of_source(row: dict[str, Any], kind: str) -> dict[str, Any]:
    rates = {
        name.partition("/")[2]: rate
        for name, rate in row["per_million"].items()
        if name.partition("/")[0] == kind
    }
    return {"source": row["source"], "words": row["words"], **rates}


def _picture(rows: Sequence[dict[str, Any]], caption: str) -> Picture:
    """The words that differ most, by group."""
    strongest = sorted(rows, key=lambda row: -abs(row["z"]))
    words = list(dict.fromkeys(row["word"] for row in strongest))[:SHOWN]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    z = {(row["group"], row["word"]): row["z"] for row in rows}
    values = np.array([[z[group, word] for word in words] for group in groups])
    return heat_map(groups, words, values, caption)
