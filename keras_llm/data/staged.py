"""Steps that compare all documents: rounds over shards, then a filter.

Each round notes something about every shard alone, then decides with the
notes of all. So shards may be worked on anywhere, and how the documents are
cut into shards changes nothing.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.set_aside import (
    Notes,
    Part,
    gather_notes,
    parts_of,
    write_notes,
    write_part,
)
from keras_llm.data.steps import Step

Verdict = np.ndarray
BLOCK = 1 << 24  # characters set aside together


@dataclass(frozen=True)
class Round:
    """One look at every document.

    Attributes:
        note: `note(documents, verdict)` returns what is to be known of a
            shard, as arrays by name. `verdict` is that of the round before;
            in the first it is empty.
        decide: `decide(notes)` takes the notes of all shards, in the order of
            the shards, and returns a bool array for each. Its length is the
            step's own matter: one per document, or one per line.

    Example:

    >>> sizes = Round(
    ...     lambda documents, _: {"n": np.array([len(list(documents))])},
    ...     lambda notes: [note["n"] > 1 for note in notes],
    ... )
    >>> sizes.decide([sizes.note([Document("a", "a")], np.zeros(0, bool))])
    [array([False])]
    """

    note: Callable[[Iterable[Document], Verdict], Notes]
    decide: Callable[[Sequence[Notes]], list[Verdict]]


@dataclass(frozen=True)
class StagedStep(Step):
    """A step that can be run shard by shard, with a barrier after each round.

    `run` does the same over a stream: it cuts it into blocks, which are its
    shards, and sets them aside in a temporary folder (that of `TMPDIR`).

    Attributes:
        rounds: At least one.
        filter: `filter(documents, verdict, counts)` yields what is left of a
            shard; `verdict` is that of the last round.

    Example:

    >>> from keras_llm.data import exact_duplicates
    >>> step = exact_duplicates()
    >>> a, b, c = Document("a", "1"), Document("a", "2"), Document("b", "3")
    >>> shards = [[a], [b, c]]
    >>> verdicts = verdicts_of(step, shards)
    >>> [verdict.tolist() for verdict in verdicts]
    [[True], [False, True]]
    """

    rounds: tuple[Round, ...] = ()
    filter: Callable[
        [Iterable[Document], Verdict, Counts], Iterator[Document]
    ] = lambda documents, verdict, counts: iter(documents)


def staged(
    name: str,
    rounds: Sequence[Round],
    filter: Callable[[Iterable[Document], Verdict, Counts], Iterator[Document]],
    settings: dict,
) -> StagedStep:
    """Returns a step of rounds, with a `run` for streams.

    Args:
        name, settings: As of every step.
        rounds, filter: As of `StagedStep`.

    Example:

    >>> step = staged("all", [Round(
    ...     lambda documents, _: {},
    ...     lambda notes: [np.zeros(0, bool) for _ in notes],
    ... )], lambda documents, verdict, counts: iter(documents), {})
    >>> [d.text for d in step([Document("a", "1")], Counts("all"))]
    ['a']
    """

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        with tempfile.TemporaryDirectory(prefix="keras_llm-") as folder:
            blocks = _set_aside(documents, Path(folder))
            for shard, verdict in zip(
                blocks, verdicts_of(step, blocks, Path(folder)), strict=True
            ):
                yield from filter(shard, verdict, counts)

    step = StagedStep(name, run, settings, tuple(rounds), filter)
    return step


def verdicts_of(
    step: StagedStep,
    shards: Sequence[Iterable[Document]],
    folder: str | os.PathLike | None = None,
) -> list[Verdict]:
    """Runs the rounds of a step over shards, one after the other.

    Args:
        step: The step.
        shards: Each can be read several times, in the same order.
        folder: Where notes are kept during a round. Default: in memory.

    Returns:
        What `step.filter` takes for each shard.

    Example: see `StagedStep`.

    >>> verdicts_of(StagedStep("none", lambda documents, counts: documents), [])
    []
    """
    if not shards:
        return []
    verdicts = [np.zeros(0, bool)] * len(shards)
    for number, one in enumerate(step.rounds):
        looks = map(one.note, shards, verdicts)
        if folder is None:
            verdicts = one.decide(list(looks))
        else:
            verdicts = one.decide(_on_disk(looks, Path(folder, str(number))))
    return verdicts


def keep_if(reason: str) -> Callable[..., Iterator[Document]]:
    """Returns a filter by a verdict on each document.

    Args:
        reason: Why the others are dropped.

    Example:

    >>> counts = Counts("twice")
    >>> documents = [Document("a", "1"), Document("a", "2")]
    >>> [d.source for d in keep_if("again")(documents, [True, False], counts)]
    ['1']
    >>> dict(counts.dropped)
    {'again': 1}
    """

    def filter(
        documents: Iterable[Document], verdict: Verdict, counts: Counts
    ) -> Iterator[Document]:
        for document, kept in zip(documents, verdict, strict=True):
            if kept:
                yield document
            else:
                counts.drop(document, reason)

    return filter


def split_like(values: np.ndarray, parts: Sequence[np.ndarray]) -> list:
    """Cuts an array into pieces as long as `parts`.

    Example:

    >>> split_like(np.arange(3), [np.zeros(1), np.zeros(2)])
    [array([0]), array([1, 2])]
    """
    ends = np.cumsum([len(part) for part in parts])
    return np.split(values, ends[:-1]) if len(parts) else []


def _set_aside(documents: Iterable[Document], folder: Path) -> list[Part]:
    """Writes documents into files of about `BLOCK` characters each."""
    blocks = []
    for number, part in enumerate(parts_of(documents, BLOCK)):
        path = folder / f"{number}.jsonl"
        write_part(path, part)
        blocks.append(Part(path))
    return blocks


def _on_disk(looks: Iterable[Notes], folder: Path) -> list[Notes]:
    """Writes notes one by one and returns them, to be read from there."""
    folder.mkdir()
    paths = []
    for number, note in enumerate(looks):
        paths.append(folder / f"{number}.npz")
        write_notes(paths[-1], note)
    return gather_notes(paths, folder / "all")
