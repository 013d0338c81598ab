"""What is known of a corpus, as answers to questions of its datasheet."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import keras_llm
from keras_llm.evaluate.corpus.balance import balance_warnings
from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.funnel import CurationFunnel
from keras_llm.evaluate.corpus.tally import UNKNOWN
from keras_llm.evaluate.finding import Table, Words

Told: TypeAlias = Words | Table
GROUPS = 10  # rows of a table


class Known(NamedTuple):
    """What is known about one question.

    Attributes:
        blocks: The answer; nothing is known if there are none.
        enough: Whether nobody need be asked any more.

    Example:

    >>> Known([Words("9 documents.")], enough=True).enough
    True
    """

    blocks: Sequence[Told]
    enough: bool


def known_answers(
    description: CorpusDescription, funnel: CurationFunnel | None
) -> dict[str, Known]:
    """Returns what is known, by the key of its question.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> sorted(key for key, one in known_answers(found, None).items()
    ...     if one.enough)
    ['content', 'languages', 'size', 'software']
    """
    found = {
        key: Known(answer(description), key in _ENOUGH)
        for key, answer in _OF_DESCRIPTION.items()
    }
    if funnel is not None:
        found |= {
            key: Known(answer(funnel), True)
            for key, answer in _OF_FUNNEL.items()
        }
    return {key: known for key, known in found.items() if known.blocks}


def _size(found: CorpusDescription) -> list[Told]:
    tokens = "" if found.tokens is None else f", {found.tokens:,} tokens"
    quantiles = found.lengths["quantiles"]
    return [
        Words(
            f"{found.documents:,} documents, {found.bytes:,} bytes of text "
            f"in UTF-8, {found.words:,} words{tokens}."
        ),
        Words(
            f"Half of the documents have {quantiles['0.5']:,.0f} words or "
            f"fewer; the longest has {found.lengths['largest']:,}."
        ),
    ]


def _content(found: CorpusDescription) -> list[Told]:
    return [
        Words(
            "A line of JSON for each document: its text, its source and, "
            "where known, its licence, language and other metadata."
        )
    ]


def _group(kind: str) -> Callable[[CorpusDescription], list[Told]]:
    """A table of the groups of a kind, if any is known."""

    def table(found: CorpusDescription) -> list[Told]:
        rows = found.groups.get(kind, ())
        if not any(row["name"] != UNKNOWN for row in rows):
            return []
        shown = [
            {
                kind: row["name"],
                "documents": row["documents"],
                "bytes": row["bytes"],
                "share": f"{100 * row['share']:.1f} %",
            }
            for row in rows[:GROUPS]
        ]
        left = len(rows) - len(shown)
        more = [Words(f"{left:,} more are not shown.")] if left else []
        return [Table(shown), *more]

    return table


def _years(found: CorpusDescription) -> list[Told]:
    rows = found.groups.get("year", ())
    if not rows:
        return []
    years = sorted(row["name"] for row in rows)
    share = 100 * sum(row["share"] for row in rows)
    return [
        Words(
            f"{share:.1f} % of the text has a date, from {years[0]} to "
            f"{years[-1]}."
        )
    ]


def _noise(found: CorpusDescription) -> list[Told]:
    copies = found.duplicates
    text = (
        f"{100 * copies['equal_share']:.2f} % of the documents have the text "
        f"of an earlier one; of {copies['near_documents']:,} different texts "
        f"{100 * copies['near_share']:.2f} % are nearly the same as an "
        f"earlier one; {100 * copies['line_share']:.2f} % of the lines stood "
        "there before."
    )
    return [Words(text), *map(Words, balance_warnings(found))]


def _people(found: CorpusDescription) -> list[Told]:
    counts = found.pronouns
    if not counts:
        return []
    text = f"Of {counts['female'] + counts['male']:,} English pronouns of "
    text += f"women and men, {100 * counts['share']:.1f} % are of women"
    if counts["interval"]:
        low, high = (100 * end for end in counts["interval"])
        text += f" (95 % interval {low:.1f} to {high:.1f} %)"
    return [Words(f"{text}. The report has more groups.")]


def _software(found: CorpusDescription) -> list[Told]:
    return [
        Words(f"Yes: keras_llm {keras_llm.__version__}, Apache License 2.0.")
    ]


def _steps(funnel: CurationFunnel) -> list[Told]:
    rows = [
        {
            "step": step["step"],
            "documents in": step["documents_in"] or None,
            "dropped": sum(step["dropped"].values()),
            "changed": sum(step["changed"].values()),
            "documents out": step["documents_out"],
            "settings": _settings(step["settings"]),
        }
        for step in funnel.steps
    ]
    reasons = [
        {key: row[key] for key in ("step", "reason", "documents")}
        for row in funnel.drops()[: 2 * GROUPS]
    ]
    tables: list[Told] = [Table(rows)] if rows else []
    return tables + ([Table(reasons, "Why.")] if reasons else [])


def _splits(funnel: CurationFunnel) -> list[Told]:
    if funnel.heldout is None:
        return [Words("All of it is for training; nothing is held out.")]
    rule = funnel.hold_out
    return [
        Words(
            f"{funnel.train['documents']:,} documents for training and "
            f"{funnel.heldout['documents']:,} held out. The side is a hash of "
            f"a document's text (fraction {rule['fraction']}, seed "
            f"{rule['seed']}), so that equal texts are on one side."
        )
    ]


def _hashes(funnel: CurationFunnel) -> list[Told]:
    sides = (("train.jsonl", funnel.train), ("heldout.jsonl", funnel.heldout))
    rows = [
        {"file": name, "SHA-256": side["sha256"]}
        for name, side in sides
        if side is not None
    ]
    return [Table(rows)]


def _personal(funnel: CurationFunnel) -> list[Told]:
    if not any(step["step"] == "privacy" for step in funnel.steps):
        return [Words("It was not looked for.")]
    found = funnel.found("privacy")
    text = "Looked for by rules and check digits, and replaced by what it is "
    text += "(e-mail addresses, telephone and account numbers, and so on); "
    text += "names of persons are not found by rules."
    rows = [{"kind": kind, "replaced": n} for kind, n in found.items()]
    return [Words(text), *([Table(rows)] if rows else [])]


def _contamination(funnel: CurationFunnel) -> list[Told]:
    mine = [one for one in funnel.steps if one["step"] == "decontaminate"]
    if not mine:
        return [Words("No: no benchmark was compared with it.")]
    names = _settings(mine[-1]["settings"])
    dropped = sum(mine[-1]["dropped"].values())
    return [
        Words(f"Yes: {dropped:,} documents were dropped. Settings: {names}.")
    ]


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


_OF_DESCRIPTION: dict[str, Callable[[CorpusDescription], list[Told]]] = {
    "size": _size,
    "content": _content,
    "languages": _group("language"),
    "licences_of_parts": _group("license"),
    "acquisition": _group("source"),
    "timeframe": _years,
    "noise": _noise,
    "people": _people,
    "software": _software,
}
_OF_FUNNEL: dict[str, Callable[[CurationFunnel], list[Told]]] = {
    "steps": _steps,
    "splits": _splits,
    "hashes": _hashes,
    "personal_data": _personal,
    "contamination": _contamination,
}
_ENOUGH = {"size", "content", "languages", "software"}
