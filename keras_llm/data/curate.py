"""Curation: documents through steps into a folder, every drop accounted."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from keras_llm.data.corpus_folder import (
    FORMAT,
    HELDOUT,
    REJECTS,
    REPORT,
    TRAIN,
    CurateReport,
    join_files,
    reject_line,
    write_report,
    write_sides,
)
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.documents import Reader, read_documents
from keras_llm.data.duplicates.exact import exact_duplicates
from keras_llm.data.folders import of_format
from keras_llm.data.hold_out import check_hold_out, hold_out
from keras_llm.data.steps import (
    Step,
    minimum_length,
    repair,
)
from keras_llm.errors import InputError
from keras_llm.files import new_folder
from keras_llm.progress import track

__all__ = [
    "FORMAT",
    "HELDOUT",
    "REPORT",
    "TRAIN",
    "CurateReport",
    "curate",
    "default_steps",
    "read_corpus",
]


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
    counts = [documents.counts] if isinstance(documents, Reader) else []
    stream: Iterable[Document] = track(documents, "curating")
    with new_folder(out_folder, of_format(REPORT, FORMAT)) as folder:
        with _aside(folder, len(steps) if rejects else 0) as files:
            for step, file in itertools.zip_longest(steps, files):
                counts.append(Counts(step.name, rejects=_into(file)))
                stream = step(stream, counts[-1])
            write_sides(hold_out(stream, heldout, seed), folder)
        return write_report(folder, out_folder, heldout, seed, counts)


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


@contextmanager
def _aside(folder: Path, steps: int) -> Iterator[list[IO[bytes]]]:
    """Yields a file for the rejects of each step, which become one."""
    paths = [folder / f"{step}-{REJECTS}" for step in range(steps)]
    with ExitStack() as stack:
        yield [stack.enter_context(open(path, "wb")) for path in paths]
    if paths:
        join_files(paths, folder / REJECTS)
    for path in paths:
        path.unlink()


def _into(file: IO[bytes] | None) -> Callable[..., None] | None:
    """Returns a function that writes dropped documents to a file."""
    if file is None:
        return None

    def reject(document: Document, step: str, reason: str) -> None:
        file.write(reject_line(document, step, reason))

    return reject
