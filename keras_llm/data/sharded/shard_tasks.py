"""The tasks of a curation: read, note, decide, run steps over a shard."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np

from keras_llm.data.corpus_folder import REJECTS, reject_line, write_sides
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.documents import read_found
from keras_llm.data.hold_out import hold_out
from keras_llm.data.reading.files import Found
from keras_llm.data.reading.kinds import Reading
from keras_llm.data.set_aside import (
    gather_notes,
    parts_of,
    read_part,
    write_notes,
    write_part,
)
from keras_llm.data.staged import StagedStep, Verdict
from keras_llm.data.steps import Step
from keras_llm.errors import InputError
from keras_llm.files import atomic_path, sha256_of

SHARD = "shard.jsonl"


@dataclass(frozen=True)
class Shard:
    """Documents in a file of the work folder.

    Attributes:
        name: The file, seen from the work folder.
        documents: How many.
        bytes: Of their text in UTF-8.
        sha256: Of the file.
    """

    name: str
    documents: int
    bytes: int
    sha256: str

    def read(self, folder: str) -> Iterator[Document]:
        """Yields the documents.

        Raises:
            InputError: The file is not as it was written.
        """
        path = Path(folder, self.name)
        if path.is_file() and sha256_of(path) == self.sha256:
            return read_part(path)
        raise InputError(
            f"Expected the shard {path} as it was written. Received: "
            f"{'other content' if path.exists() else 'no such file'}. Start "
            "the work again with restart=True (--force)."
        )


@dataclass(frozen=True)
class Slice:
    """The verdict on one shard, in the file of all."""

    name: str
    begin: int
    end: int

    def read(self, folder: str) -> Verdict:
        """Returns the bool array."""
        path, count = Path(folder, self.name), self.end - self.begin
        return np.fromfile(path, bool, count=count, offset=self.begin)


@dataclass(frozen=True)
class _Task:
    """What tasks have in common; see `work_folder.Task`."""

    folder: str
    name: str

    def __str__(self) -> str:
        return f"the task {self.name}"


@dataclass(frozen=True)
class Read(_Task):
    """Cuts the documents of files into shards.

    Attributes:
        files: The files.
        reading: How they are read.
        most: Characters of a shard.
    """

    files: tuple[Found, ...]
    reading: Reading
    most: int

    def work(self) -> dict[str, Any]:
        """Writes the shards; returns them with the counts of reading."""
        counts = Counts("read")
        found = read_found(self.files, replace(self.reading, counts=counts))
        shards = _cut(self, _kept(found, counts), self.most)
        return {**shards, "counts": counts.to_record()}


@dataclass(frozen=True)
class Cut(_Task):
    """Cuts documents that are no files into shards; not in other processes.

    Attributes:
        documents: Read once.
        most: Characters of a shard.
    """

    documents: Iterable[Document]
    most: int

    def work(self) -> dict[str, Any]:
        """Writes the shards and returns them."""
        return _cut(self, self.documents, self.most)


@dataclass(frozen=True)
class Note(_Task):
    """Notes what a round of a staged step must know of a shard."""

    shard: Shard
    step: StagedStep
    round: int
    verdict: Slice | None

    @property
    def file(self) -> str:
        """The notes, seen from the work folder."""
        return f"{self.name}.npz"

    def work(self) -> dict[str, Any]:
        """Writes the notes."""
        before = _verdict(self.verdict, self.folder)
        documents = self.shard.read(self.folder)
        notes = self.step.rounds[self.round].note(documents, before)
        with atomic_path(Path(self.folder, self.file)) as path:
            write_notes(path, notes)
        return {"bytes": self.shard.bytes}


@dataclass(frozen=True)
class Decide(_Task):
    """Decides with the notes of all shards."""

    step: StagedStep
    round: int
    notes: tuple[str, ...]

    @property
    def file(self) -> str:
        """The verdicts, seen from the work folder."""
        return f"{self.name}.verdict"

    def work(self) -> dict[str, Any]:
        """Writes the verdicts; returns where that on each shard ends."""
        together = Path(self.folder, f"{self.name}.notes")
        paths = [Path(self.folder, note) for note in self.notes]
        notes = gather_notes(paths, together)
        verdicts = self.step.rounds[self.round].decide(notes)
        with atomic_path(Path(self.folder, self.file)) as path:
            np.concatenate([np.zeros(0, bool), *verdicts]).tofile(path)
        together.unlink()
        return {"ends": np.cumsum([len(one) for one in verdicts]).tolist()}


@dataclass(frozen=True)
class Steps(_Task):
    """Runs steps over a shard: a filter first, if there is a verdict.

    It writes a folder with the shard that is left, or with the two sides of
    the corpus, and with the rejects, those of each step together.

    Attributes:
        shard: The documents.
        staged: The step whose verdict it is.
        verdict: The last one on the shard.
        steps: Steps that look at documents one by one.
        sides: Fraction and seed of the hold-out, in the last stage.
        rejects: Whether dropped documents are written.
    """

    shard: Shard
    staged: StagedStep | None
    verdict: Slice | None
    steps: tuple[Step, ...]
    sides: tuple[float, int] | None
    rejects: bool

    def work(self) -> dict[str, Any]:
        """Writes the folder; returns counts, seconds, bytes of rejects."""
        clock = Clock()
        counts: list[Counts] = []
        rejects: list[bytearray] = []
        stream = clock.watch(self.shard.read(self.folder))
        for step in self._all():
            rejects.append(bytearray())
            counts.append(Counts(step.name))
            if self.rejects:
                counts[-1].rejects = _into(rejects[-1])
            stream = clock.watch(step(stream, counts[-1]))
        with atomic_path(Path(self.folder, self.name)) as folder:
            folder.mkdir()
            shard = self._left(stream, folder)
            (folder / REJECTS).write_bytes(b"".join(rejects))
        return {
            "shards": [vars(shard)] if shard else [],
            "counts": [one.to_record() for one in counts],
            "rejects": [len(lines) for lines in rejects],
            "step_cpu_seconds": clock.each(),
            "bytes": self.shard.bytes,
        }

    def _all(self) -> list[Step]:
        """Returns the filter by the verdict as a step, and the steps."""
        staged = self.staged
        if staged is None:
            return list(self.steps)
        verdict = _verdict(self.verdict, self.folder)
        first = Step(
            staged.name,
            lambda documents, counts: staged.filter(documents, verdict, counts),
            staged.settings,
        )
        return [first, *self.steps]

    def _left(
        self, documents: Iterable[Document], folder: Path
    ) -> Shard | None:
        """Writes what is left of the shard."""
        if self.sides:
            write_sides(hold_out(documents, *self.sides), folder)
            return None
        shard = _write(folder, SHARD, documents)
        return replace(shard, name=os.path.join(self.name, SHARD))


class Clock:
    """Measures the processor time of each of a chain of iterators.

    Example:

    >>> clock = Clock()
    >>> list(clock.watch(abs(n) for n in clock.watch([-1])))
    [1]
    >>> len(clock.each())
    2
    """

    def __init__(self):
        self._totals: list[float] = []

    def watch(self, documents: Iterable[Any]) -> Iterator[Any]:
        """Passes documents through; their time counts those before, too."""
        self._totals.append(0.0)
        return self._timed(documents, len(self._totals) - 1)

    def _timed(self, documents: Iterable[Any], at: int) -> Iterator[Any]:
        documents = iter(documents)
        nothing = object()
        while True:
            begun = thread_time()
            document = next(documents, nothing)
            self._totals[at] += thread_time() - begun
            if document is nothing:
                return
            yield document

    def each(self) -> list[float]:
        """Returns the seconds of each, without those before."""
        return np.diff(self._totals, prepend=0.0).tolist()


def _cut(
    task: _Task, documents: Iterable[Document], most: int
) -> dict[str, Any]:
    shards = []
    for number, part in enumerate(parts_of(documents, most)):
        name = f"{task.name}.{number:05d}.jsonl"
        shards.append(_write(Path(task.folder), name, part))
    size = sum(shard.bytes for shard in shards)
    return {"shards": [vars(shard) for shard in shards], "bytes": size}


def _write(folder: Path, name: str, documents: Iterable[Document]) -> Shard:
    with atomic_path(folder / name) as path:
        number, size = write_part(path, documents)
        sha256 = sha256_of(path)
    return Shard(name, number, size, sha256)


def _kept(documents: Iterable[Document], counts: Counts) -> Iterator[Document]:
    for document in documents:
        counts.kept(document.text)
        yield document


def _into(lines: bytearray) -> Any:
    """Returns a function that adds dropped documents to lines."""

    def reject(document: Document, step: str, reason: str) -> None:
        lines.extend(reject_line(document, step, reason))

    return reject


def _verdict(verdict: Slice | None, folder: str) -> Verdict:
    return verdict.read(folder) if verdict else np.zeros(0, bool)
