"""What a curation is: its inputs, steps and settings, as JSON."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_llm
from keras_llm.data.document import Document
from keras_llm.data.documents import Reader
from keras_llm.data.reading.files import Found
from keras_llm.data.registry import is_sendable, name_of
from keras_llm.data.staged import StagedStep
from keras_llm.data.steps import Step


@dataclass(frozen=True)
class Curation:
    """What is to be done with documents.

    Attributes:
        steps: In order.
        heldout: Share that is held out.
        seed: Of the hold-out.
        rejects: Whether dropped documents are written.
        shard_bytes: Characters of a shard.
    """

    steps: Sequence[Step]
    heldout: float
    seed: int
    rejects: bool
    shard_bytes: int


@dataclass(frozen=True)
class Segment:
    """Steps that run over a shard in one task.

    Attributes:
        staged: A staged step, whose filter comes first.
        steps: Steps that look at documents one by one.
    """

    staged: StagedStep | None
    steps: tuple[Step, ...]

    @property
    def all(self) -> list[Step]:
        """The steps in order, the staged one too."""
        return [step for step in (self.staged, *self.steps) if step]

    @property
    def label(self) -> str:
        """What its stage is called."""
        return self.all[0].name if self.all else "split"


def label(name: str) -> str:
    """Returns a name that a file may have.

    Example:

    >>> label("my_rules:english")
    'my_rules_english'
    """
    return re.sub(r"[^\w-]", "_", name)


def segments_of(steps: Sequence[Step]) -> list[Segment]:
    """Cuts steps before each that compares documents; at least one segment.

    Example:

    >>> from keras_llm.data import exact_duplicates, repair
    >>> [one.label for one in segments_of([repair(), exact_duplicates()])]
    ['repair', 'exact_duplicates']
    """
    segments = [Segment(None, ())]
    for step in steps:
        if isinstance(step, StagedStep):
            segments.append(Segment(step, ()))
        else:
            last = segments[-1]
            segments[-1] = Segment(last.staged, (*last.steps, step))
    empty = segments[0].steps == () and len(segments) > 1
    return segments[1:] if empty else segments


def plan_of(
    documents: Iterable[Document], curation: Curation
) -> dict[str, Any]:
    """Returns what must be equal for work to be gone on with.

    "inputs" is None where that cannot be known: documents that are no files,
    or a step that only this process has.
    """
    known = all(map(is_sendable, curation.steps))
    files = files_of(documents) if known else ()
    return {
        "keras_llm": keras_llm.__version__,
        "inputs": [_input(file) for file in files] or None,
        "reading": _reading(documents),
        "steps": [[step.name, step.settings] for step in curation.steps],
        "heldout": curation.heldout,
        "seed": curation.seed,
        "rejects": curation.rejects,
        "shard_bytes": curation.shard_bytes,
    }


def files_of(documents: Iterable[Document]) -> Sequence[Found]:
    """Returns the files of a `Reader` of which nothing was read yet."""
    if isinstance(documents, Reader) and not documents.counts.documents_out:
        return documents.files
    return ()


def groups_of(files: Sequence[Found], most: int) -> Iterator[tuple[Found, ...]]:
    """Yields files that are read together: one large, or many small ones."""
    group: list[Found] = []
    size = 0
    for file in files:
        group.append(file)
        size += size_of(file, most)
        if size >= most:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def size_of(file: Found, unknown: int) -> int:
    """Returns the bytes of a file; of one elsewhere they are not known."""
    place = file.path
    return place.stat().st_size if isinstance(place, Path) else unknown


def _input(file: Found) -> list[Any]:
    """Returns address, size and time of a file; of one elsewhere the first."""
    if not isinstance(file.path, Path):
        return [str(file.path)]
    facts = file.path.stat()
    return [str(file.path), facts.st_size, facts.st_mtime_ns]


def _reading(documents: Iterable[Document]) -> dict[str, Any] | None:
    reading = documents.reading if isinstance(documents, Reader) else None
    if reading is None:
        return None
    functions = {k: name_of(f) for k, f in reading.extractors.items()}
    values = {k: v for k, v in vars(reading).items() if k != "counts"}
    return {**values, "extractors": functions}
