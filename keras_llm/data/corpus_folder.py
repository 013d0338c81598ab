"""The corpus folder that `curate` writes: its files, and what they say."""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_llm.data.counts import Counts, utf8_size
from keras_llm.data.document import Document, json_line
from keras_llm.data.documents import read_documents
from keras_llm.data.hold_out import hold_out_rank
from keras_llm.errors import InputError
from keras_llm.files import sha256_of

REPORT = "curate.json"
FORMAT = "keras_llm corpus"
VERSION = 1
TRAIN, HELDOUT, REJECTS = "train.jsonl", "heldout.jsonl", "rejects.jsonl"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """One side of a curated corpus: its documents, bytes of text and hash."""

    documents: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class CurateReport:
    """What a curation did.

    Attributes:
        folder: Where the corpus is.
        steps: The `Counts` of reading and of each step, in order.
        train: The training side.
        heldout: The held-out side; None if nothing was to be held out.
        settings: Fraction and seed of the hold-out, and `forced`: True if the
            corpus was so small that the document nearest to the line
            had to be moved.

    Example:

    >>> report = CurateReport(
    ...     Path("corpus"), [], Split(9, 4_000, "5d80..."), None, {}
    ... )
    >>> report.to_dict()["train"]["documents"]
    9
    """

    folder: Path
    steps: list[Counts]
    train: Split
    heldout: Split | None
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `curate.json`."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "steps": [counts.to_dict() for counts in self.steps],
            "hold_out": self.settings,
            "train": vars(self.train),
            "heldout": vars(self.heldout) if self.heldout else None,
        }


def write_sides(sides: Iterable[tuple[str, Document]], folder: Path) -> None:
    """Writes each document to the file of its side."""
    with (
        open(folder / TRAIN, "wb") as train,
        open(folder / HELDOUT, "wb") as heldout,
    ):
        for side, document in sides:
            file = heldout if side == "heldout" else train
            file.write(json_line(document.to_dict()))


def reject_line(document: Document, step: str, reason: str) -> bytes:
    """Returns the line of a dropped document."""
    return json_line({"step": step, "reason": reason, **document.to_dict()})


def join_files(paths: Iterable[Path], whole: Path) -> None:
    """Writes the content of files, one after the other, into one."""
    with open(whole, "wb") as out:
        for path in paths:
            with open(path, "rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)


def write_report(
    folder: Path,
    out_folder: str | os.PathLike,
    heldout: float,
    seed: int,
    counts: Sequence[Counts],
) -> CurateReport:
    """Writes `curate.json` beside the two sides, neither of them empty.

    Args:
        folder: Where the sides are.
        out_folder: Where the folder will be.
        heldout, seed: As of `curate`.
        counts: Of each step.

    Raises:
        InputError: No document was left, or only one although some were to
            be held out.
    """
    forced = _balance(folder, heldout, seed, counts)
    report = CurateReport(
        Path(out_folder),
        list(counts),
        _split(folder / TRAIN),
        _split(folder / HELDOUT) if heldout else None,
        {"fraction": heldout, "seed": seed, "forced": forced},
    )
    text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    return report


def _balance(
    folder: Path, fraction: float, seed: int, counts: Sequence[Counts]
) -> bool:
    """Makes sure that no side is empty; returns whether it moved a document.

    Only corpora of a few dozen documents get here with an empty side.
    """
    train, heldout = folder / TRAIN, folder / HELDOUT
    sizes = {path: path.stat().st_size for path in (train, heldout)}
    if not any(sizes.values()):
        raise InputError(_nothing_left(counts))
    if not fraction:
        heldout.unlink()
        return False
    if all(sizes.values()):
        return False
    full, empty = (train, heldout) if sizes[train] else (heldout, train)
    documents = list(read_documents(full))
    ranks = [hold_out_rank(document.text, seed) for document in documents]
    if len(set(ranks)) == 1:
        raise InputError(
            "Expected at least two different documents, so that one can be "
            f"held out. Received: {documents[0].source} only. Add documents, "
            "cut it into parts with the step split_long, or pass heldout=0."
        )
    nearest = min(ranks) if empty == heldout else max(ranks)
    ranked = list(zip(documents, ranks, strict=True))
    moved = [document for document, rank in ranked if rank == nearest]
    kept = [document for document, rank in ranked if rank != nearest]
    for path, side in ((empty, moved), (full, kept)):
        path.write_bytes(b"".join(json_line(d.to_dict()) for d in side))
    _log.warning(
        "The corpus is small: %s was moved to %s, which was empty.",
        moved[0].source,
        empty.name,
    )
    return True


def _nothing_left(counts: Sequence[Counts]) -> str:
    """Says which step dropped how many."""
    reasons = ". ".join(count.reasons() for count in counts)
    return (
        "Expected at least one document after curation. Received: none "
        f"({reasons or 'no document came in'}). Pass more text or milder "
        "steps, for example minimum_length(0)."
    )


def _split(path: Path) -> Split:
    """Counts one side of the corpus from the file itself."""
    documents = size = 0
    for text in _texts(path):
        documents += 1
        size += utf8_size(text)
    return Split(documents, size, sha256_of(path))


def _texts(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        for line in file:
            yield json.loads(line)["text"]
