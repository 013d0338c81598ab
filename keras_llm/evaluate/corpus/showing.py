"""A corpus description for readers: warnings, tables, pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.evaluate.corpus.balance import balance_warnings
from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.pictures import (
    SHOWN,
    bars,
    heaps_curve,
    histogram,
)
from keras_llm.evaluate.finding import (
    Block,
    Measure,
    Table,
    Title,
    Words,
)

KINDS = {
    "source": "Sources",
    "domain": "Domains",
    "language": "Languages",
    "license": "Licences",
    "year": "Years",
}
WORDS_SHOWN = 20
LINES_SHOWN = 10
SHORT_LINE = 80


def blocks_of(description: CorpusDescription) -> list[Block]:
    """Returns the blocks of a description.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> blocks_of(found)[0].text
    'Warnings'
    """
    return [
        *_warnings(description),
        *_sizes(description),
        *_groups(description),
        *_lengths(description),
        *_vocabulary(description),
        *_readability(description),
        *_duplicates(description),
        *_pronouns(description),
    ]


def _warnings(description: CorpusDescription) -> list[Block]:
    said = balance_warnings(description) or ["Nothing that is looked for."]
    return [Title("Warnings"), *map(Words, said)]


def _sizes(description: CorpusDescription) -> list[Block]:
    found, packed = description, description.compression
    row: dict[str, Any] = {
        "documents": found.documents,
        "bytes": found.bytes,
        "characters": found.characters,
        "words": found.words,
    }
    if found.tokens is not None:
        row["tokens"] = found.tokens
    text = (
        "Words are what white space separates. A byte by itself tells "
        f"{packed['byte_entropy']:.2f} bits; xz -9 needs "
        f"{_bits(packed['xz_bits_per_byte'])} for one, on "
        f"{packed['xz_bytes']:,} bytes of the sample. The sample: "
        f"{found.sample['documents']:,} documents, "
        f"{found.sample['bytes']:,} bytes, drawn with the seed "
        f"{found.sample['seed']}."
    )
    return [Title("Size"), Table([row], "All documents."), Words(text)]


def _bits(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} bits"


def _groups(description: CorpusDescription) -> list[Block]:
    blocks: list[Block] = []
    for kind, title in KINDS.items():
        rows = description.groups.get(kind, ())
        if not rows:
            continue
        # Years are read in their order, all else from the largest.
        first = list(rows[:SHOWN])
        if kind == "year":
            first = sorted(rows, key=lambda row: row["name"])[-2 * SHOWN :]
        blocks.append(Title(title))
        if len(rows) > 1:
            blocks.append(_group_bars(first, title))
        caption = f"{title}, by bytes."
        if len(first) < len(rows):
            caption += f" {len(first)} of {len(rows):,}."
        blocks.append(Table([_group_row(row) for row in first], caption))
        if kind == "language" and description.tokens:
            blocks.append(_tokens_per_byte(first))
    return blocks


def _group_bars(rows: Sequence[Mapping[str, Any]], title: str) -> Block:
    return bars(
        [row["name"] for row in rows],
        [100 * row["share"] for row in rows],
        "% of the bytes",
        f"{title}: share of the bytes.",
    )


def _tokens_per_byte(rows: Sequence[Mapping[str, Any]]) -> Block:
    """What the tokenizer makes a language cost."""
    return bars(
        [row["name"] for row in rows],
        [row["tokens"] / max(row["bytes"], 1) for row in rows],
        "tokens per byte",
        "Tokens per byte by language: more tokens cost more to train on.",
    )


def _group_row(row: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {name: value for name, value in row.items() if value is not None}
    del sizes["share"]
    return {**sizes, "% of the bytes": 100 * row["share"]}


def _lengths(description: CorpusDescription) -> list[Block]:
    lengths = description.lengths
    row = {"shortest": lengths["smallest"]}
    row |= {
        f"{100 * float(q):.0f} %": round(value)
        for q, value in lengths["quantiles"].items()
    }
    row |= {"longest": lengths["largest"], "mean": lengths["mean"]}
    caption = "Lengths of the documents in words; quantiles within 1.1 %."
    return [
        Title("Lengths"),
        histogram(
            lengths["histogram"],
            "words",
            "Documents by their number of words, on a logarithmic scale.",
            log=True,
        ),
        Table([row], caption),
    ]


def _vocabulary(description: CorpusDescription) -> list[Block]:
    words = description.vocabulary
    if not words["running"]:
        return []
    row: dict[str, Any] = {
        "running words": words["running"],
        "different words": Measure(
            words["types"], words["types_error"] or None
        ),
        "once, % of them": 100 * words["once_share"],
        "1 to 4 times, %": 100 * words["rare_share"],
    }
    if words["in_a_thousand"] is not None:
        row["different in 1,000"] = Measure(
            words["in_a_thousand"], words["in_a_thousand_error"]
        )
    caption = "Word forms in lower case, all languages together."
    top = [
        {"word": one["name"], "count": one["count"], "%": 100 * one["share"]}
        for one in words["top"][:WORDS_SHOWN]
    ]
    beyond = words["top_error"]
    most = "Most frequent words."
    if beyond:
        most += f" A count may be too low by {beyond:,}."
    return [
        Title("Vocabulary"),
        Table([row], caption),
        heaps_curve(words, "Different words after so many words."),
        Table(top, most),
    ]


def _readability(description: CorpusDescription) -> list[Block]:
    found = description.readability
    if not found:
        return []
    row = {
        "documents": found["documents"],
        "reading ease": Measure(found["ease"], found["ease_error"]),
        "school grade": Measure(found["grade"], found["grade_error"]),
    }
    text = (
        "Flesch's reading ease: 60 to 70 is plain English, less is harder. "
        "The grade is Flesch-Kincaid's, years at a school in the United "
        "States. Both are for English prose alone; lists, tables and code "
        "give numbers that mean nothing."
    )
    return [
        Title("Readability"),
        Words(text),
        Table([row], "English documents of the sample, means."),
        histogram(
            found["histogram"],
            "Flesch reading ease",
            "English documents by reading ease.",
            log=False,
        ),
    ]


def _duplicates(description: CorpusDescription) -> list[Block]:
    found = description.duplicates
    row = {
        "same text as an earlier document, %": 100 * found["equal_share"],
        "nearly the same, %": 100 * found["near_share"],
        "lines said before, %": 100 * found["line_share"],
    }
    text = (
        f"Nearly the same: a Jaccard index of {found['near_threshold']} or "
        f"more of 5-grams of words, among {found['near_documents']:,} "
        "different texts. "
    )
    if not found["near_exact"]:
        text += (
            "That is a sample, in which a text rarely meets its copy: the "
            "corpus has more. "
        )
    if not (found["equal_exact"] and found["lines_exact"]):
        text += "Shares are estimates from 1 in several texts or lines. "
    text += "Lines count from 20 characters on."
    blocks: list[Block] = [Title("Repetition"), Table([row]), Words(text)]
    lines = [
        {"line": one["name"][:SHORT_LINE], "count": one["count"]}
        for one in found["top_lines"][:LINES_SHOWN]
    ]
    return blocks + ([Table(lines, "Lines said most often.")] if lines else [])


def _pronouns(description: CorpusDescription) -> list[Block]:
    found = description.pronouns
    if not found:
        return []
    row = {
        "she, her, hers, herself": found["female"],
        "he, him, his, himself": found["male"],
        "share of the first": Measure(found["share"], found["error"]),
    }
    return [
        Title("She and he"),
        Table([row], "Pronouns of the English documents."),
    ]
