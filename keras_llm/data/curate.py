"""Curation: documents through steps into a folder, every drop accounted."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from keras_llm.data.counts import Counts, utf8_size
from keras_llm.data.document import Document, json_line
from keras_llm.data.documents import Reader, read_documents
from keras_llm.data.duplicates.exact import exact_duplicates
from keras_llm.data.folders import of_format
from keras_llm.data.hold_out import check_hold_out, hold_out, hold_out_rank
from keras_llm.data.steps import (
    Step,
    minimum_length,
    repair,
)
from keras_llm.errors import InputError
from keras_llm.files import new_folder, sha256_of
from keras_llm.progress import track

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


def default_steps() -> list[Step]:
    """Returns the steps of `curate` when none are given.

    Example:

    >>> [step.name for step in default_steps()]
    ['repair', 'minimum_length', 'exact_duplicates']
    """
    return [repair(), minimum_length(), exact_duplicates()]


def curate(
    documents: Iterable[Document],
    out_folder: str | os.PathLike,
    heldout: float = 0.02,
    seed: int = 0,
    steps: Sequence[Step] | None = None,
    rejects: bool = True,
) -> CurateReport:
    """Runs documents through steps and writes them as a corpus folder.

    The folder holds `train.jsonl`, `heldout.jsonl`, `rejects.jsonl` (dropped
    documents, each with step and reason) and `curate.json` (the report with
    settings, counts and hashes). It appears as a whole at the end; the same
    documents and settings give the same bytes.

    Args:
        documents: Any iterable, for example `read_documents(...)`, whose own
            drops then come first in the report.
        out_folder: The folder to write. An earlier corpus there is replaced;
            a folder with other content is refused.
        heldout: Expected share of documents held out (see `hold_out`). With
            two documents or more at least one is held out and one stays.
            0 writes no `heldout.jsonl`.
        seed: Seed of the hold-out.
        steps: What to run, in order. Default: `default_steps()`.
        rejects: False writes no `rejects.jsonl`.

    Raises:
        InputError: No document was left, or only one although some were to
            be held out, or `out_folder` holds other files.
        OSError: The disk is full; an earlier corpus is still there.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "corpus"
    >>> documents = [Document(f"Text {n}. " * 40, f"{n}") for n in range(9)]
    >>> report = curate(documents, folder, heldout=0.2)
    >>> report.train.documents + report.heldout.documents
    9
    """
    check_hold_out(heldout, seed)
    steps = default_steps() if steps is None else steps
    with new_folder(out_folder, of_format(REPORT, FORMAT)) as folder:
        aside = open(folder / REJECTS, "wb") if rejects else nullcontext()
        with aside as file:
            stream, counts = _run(documents, steps, file)
            _write(hold_out(stream, heldout, seed), folder)
        forced = _balance(folder, heldout, seed, counts)
        report = CurateReport(
            Path(out_folder),
            counts,
            _split(folder / TRAIN),
            _split(folder / HELDOUT) if heldout else None,
            {"fraction": heldout, "seed": seed, "forced": forced},
        )
        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
        (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    return report


def read_corpus(folder: str | os.PathLike, split: str = "train") -> Reader:
    """Reads one side of a folder written by `curate`.

    Args:
        folder: The corpus folder.
        split: "train" or "heldout".

    Raises:
        InputError: It is no corpus folder, or has no such side.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> documents = [Document("Text. " * 50, "a"), Document("More. " * 50, "b")]
    >>> report = curate(documents, folder)
    >>> len(list(read_corpus(folder, "heldout")))
    1
    """
    path = Path(folder) / f"{split}.jsonl"
    if not path.is_file():
        raise InputError(
            f"Expected a folder written by curate, with {path.name}. "
            f"Received: {folder}, which has no such file. Run curate first"
            + (", with a held-out share above 0." * (split == "heldout") or ".")
        )
    return read_documents(path)


def _run(
    documents: Iterable[Document], steps: Sequence[Step], aside: IO | None
) -> tuple[Iterable[Document], list[Counts]]:
    """Chains the steps; returns the stream and the counts it will fill."""

    def reject(document: Document, step: str, reason: str) -> None:
        record = {"step": step, "reason": reason, **document.to_dict()}
        if aside:
            aside.write(json_line(record))

    counts = [documents.counts] if isinstance(documents, Reader) else []
    stream: Iterable[Document] = track(documents, "curating")
    for step in steps:
        counts.append(Counts(step.name, rejects=reject))
        stream = step(stream, counts[-1])
    return stream, counts


def _write(sides: Iterable[tuple[str, Document]], folder: Path) -> None:
    """Writes each document to the file of its side."""
    with (
        open(folder / TRAIN, "wb") as train,
        open(folder / HELDOUT, "wb") as heldout,
    ):
        for side, document in sides:
            file = heldout if side == "heldout" else train
            file.write(json_line(document.to_dict()))


def _balance(
    folder: Path, fraction: float, seed: int, counts: list[Counts]
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


def _nothing_left(counts: list[Counts]) -> str:
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
