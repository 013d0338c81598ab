"""What is out of balance in a corpus, said in plain words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.tally import UNKNOWN

MOST_OF_ONE = 0.9  # share of a source, domain or language
MOST_UNKNOWN = 0.01  # share of bytes without a licence or language
FEWEST = 0.01  # share of a language that a model will hardly learn
MOST_COPIES = 0.05
MOST_LINES = 0.2
PRONOUNS = (1 / 3, 2 / 3)  # bounds of the share of either
MANY_IN_ONE = 0.1  # share of one document of all words
FEW_DOCUMENTS = 20  # of fewer, one has a large share by nature


def balance_warnings(description: CorpusDescription) -> list[str]:
    """Returns what one should know before training on a corpus.

    Each is a sentence with the number in it. None does not mean that a
    corpus is balanced: only what is listed in docs/corpus_report.md is
    looked at.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> print(balance_warnings(found)[0])
    One source makes up 100.0 % of the text: a.
    """
    return [
        *_dominant(description),
        *_unknown(description),
        *_small_languages(description.groups.get("language", ())),
        *_pronouns(description.pronouns),
        *_copies(description.duplicates),
        *_giant(description),
    ]


def _dominant(description: CorpusDescription) -> Iterator[str]:
    """Says what one source, one domain makes up.

    A corpus in one language is what most people want: no warning."""
    for kind in ("source", "domain"):
        rows = description.groups.get(kind, ())
        if rows and rows[0]["share"] > MOST_OF_ONE:
            first = rows[0]
            yield (
                f"One {kind} makes up {_percent(first['share'])} of the text: "
                f"{first['name']}."
            )


def _unknown(description: CorpusDescription) -> Iterator[str]:
    said = {
        "license": "has no stated licence: whether it may be used is open",
        "language": "is in an unknown language",
    }
    for kind, words in said.items():
        share = _share(description.groups.get(kind, ()), UNKNOWN)
        if share > MOST_UNKNOWN:
            yield f"{_percent(share)} of the text {words}."


def _small_languages(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    known = [row for row in rows if row["name"] != UNKNOWN]
    small = [row["name"] for row in known if row["share"] < FEWEST]
    if small and len(known) > 1:
        names = ", ".join(small[:10]) + (", ..." if small[10:] else "")
        yield (
            f"Of {len(known)} languages {len(small)} make up less than "
            f"{_percent(FEWEST)} of the text each ({names}): a model will "
            "hardly learn them, or they were identified wrongly."
        )


def _pronouns(counts: Mapping[str, Any] | None) -> Iterator[str]:
    """Warns where chance alone does not explain the imbalance."""
    if not counts or not counts["interval"]:
        return
    low, high = counts["interval"]
    if high < PRONOUNS[0] or low > PRONOUNS[1]:
        yield (
            "Of the English pronouns of women and men "
            f"{_percent(counts['share'])} are of women (95 % interval "
            f"{_percent(low)} to {_percent(high)}): a model will learn that "
            "imbalance."
        )


def _copies(found: Mapping[str, Any]) -> Iterator[str]:
    if found["equal_share"] > MOST_COPIES:
        yield (
            f"{_percent(found['equal_share'])} of the documents have the text "
            "of an earlier one. The step exact_duplicates drops them."
        )
    if found["near_share"] > MOST_COPIES:
        yield (
            f"{_percent(found['near_share'])} of "
            f"{found['near_documents']:,} different texts are nearly the same "
            "as an earlier one. The step near_duplicates drops them."
        )
    if found["line_share"] > MOST_LINES:
        yield (
            f"{_percent(found['line_share'])} of the lines stood there before. "
            "The step repeated_lines takes out those of many documents."
        )


def _giant(description: CorpusDescription) -> Iterator[str]:
    longest, words = description.lengths["largest"], description.words
    many = description.documents >= FEW_DOCUMENTS
    if many and longest > MANY_IN_ONE * words:
        yield (
            f"The longest document has {_percent(longest / words)} of all "
            "words. The step split_long cuts it into parts."
        )


def _share(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return sum(row["share"] for row in rows if row["name"] == name)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
