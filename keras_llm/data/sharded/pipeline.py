"""The stages of a curation, one after the other, each in many tasks."""

import copy
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.documents import Reader
from keras_llm.data.sharded.plan import (
    Curation,
    Segment,
    files_of,
    groups_of,
    label,
    segments_of,
)
from keras_llm.data.sharded.shard_tasks import (
    Cut,
    Decide,
    Note,
    Read,
    Shard,
    Slice,
    Steps,
)
from keras_llm.data.sharded.work_folder import remove, run_stage
from keras_llm.data.staged import StagedStep
from keras_llm.executors import Executor, Inline


@dataclass
class Stage:
    """What a stage did.

    Attributes:
        name: Its name.
        results: Of its tasks, in order.
        folders: Of its tasks in the last stage of a segment.
        counts: Of its steps, all shards together.
    """

    name: str
    results: list[dict[str, Any]]
    folders: list[str] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)


class Pipeline:
    """Runs a curation in a work folder.

    Args:
        folder: The work folder, open.
        executor: Who runs the tasks.
        curation: What is to be done.

    Attributes:
        stages: Those that are done.
        read_counts: Of reading, where a `Reader` was read.
    """

    def __init__(self, folder: Path, executor: Executor, curation: Curation):
        self.stages: list[Stage] = []
        self.read_counts: Counts | None = None
        self._folder = os.path.abspath(folder)
        self._executor = executor
        self._curation = curation

    def read(self, documents: Iterable[Document]) -> list[Shard]:
        """Cuts the documents into shards.

        Raises:
            InputError: Files cannot be read, or there is no document.
        """
        name, most = "00-read", self._curation.shard_bytes
        files = files_of(documents)
        if not (isinstance(documents, Reader) and documents.reading and files):
            cut = Cut(self._folder, f"{name}.00000", documents, most)
            results = self._run(name, [cut], Inline())
            if isinstance(documents, Reader):
                self.read_counts = documents.counts
            return _shards(results)
        reading = documents.reading
        tasks = [
            Read(self._folder, f"{name}.{number:05d}", group, reading, most)
            for number, group in enumerate(groups_of(files, most))
        ]
        results = self._run(name, tasks)
        # A copy: after a full disk the same reader may be passed again.
        self.read_counts = copy.deepcopy(documents.counts)
        for result in results:
            self.read_counts.add(Counts.from_record(result["counts"]))
        documents.check(self.read_counts)
        return _shards(results)

    def curate(self, shards: Sequence[Shard]) -> list[Stage]:
        """Runs all steps; returns the stages that write, with their counts.

        Raises:
            InputError: A step refused a document.
        """
        segments = segments_of(self._curation.steps)
        wrote = []
        for segment in segments:
            verdicts: Sequence[Slice | None] = [None] * len(shards)
            if segment.staged and shards:
                verdicts = self._verdicts(segment.staged, shards)
            last = segment is segments[-1]
            wrote.append(self._write(segment, shards, verdicts, last))
            remove(self._folder, [shard.name for shard in shards])
            remove(self._folder, list({one.name for one in verdicts if one}))
            shards = _shards(wrote[-1].results)
        return wrote

    def _verdicts(
        self, step: StagedStep, shards: Sequence[Shard]
    ) -> Sequence[Slice | None]:
        """Runs the rounds of a step; returns the last verdicts."""
        verdicts: Sequence[Slice | None] = [None] * len(shards)
        for number in range(len(step.rounds)):
            before = {one.name for one in verdicts if one}
            verdicts = self._round(step, number, shards, verdicts)
            remove(self._folder, list(before))
        return verdicts

    def _round(
        self,
        step: StagedStep,
        number: int,
        shards: Sequence[Shard],
        verdicts: Sequence[Slice | None],
    ) -> Sequence[Slice]:
        """Notes something of each shard, then decides."""
        name = self._name(f"{step.name}-note")
        tasks = [
            Note(self._folder, f"{name}.{at:05d}", shard, step, number, verdict)
            for at, (shard, verdict) in enumerate(
                zip(shards, verdicts, strict=True)
            )
        ]
        self._run(name, tasks)
        notes = tuple(task.file for task in tasks)
        name = self._name(f"{step.name}-decide")
        decide = Decide(self._folder, f"{name}.00000", step, number, notes)
        (result,) = self._run(name, [decide], Inline())
        remove(self._folder, notes)
        ends = result["ends"]
        return [
            Slice(decide.file, begin, end)
            for begin, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def _write(
        self,
        segment: Segment,
        shards: Sequence[Shard],
        verdicts: Sequence[Slice | None],
        last: bool,
    ) -> Stage:
        """Runs the steps of a segment over all shards."""
        name, curation = self._name(segment.label), self._curation
        tasks = [
            Steps(
                self._folder,
                f"{name}.{at:05d}",
                shard,
                segment.staged,
                verdict,
                segment.steps,
                (curation.heldout, curation.seed) if last else None,
                curation.rejects,
            )
            for at, (shard, verdict) in enumerate(
                zip(shards, verdicts, strict=True)
            )
        ]
        self._run(name, tasks)
        stage = self.stages[-1]
        stage.folders = [task.name for task in tasks]
        stage.counts = _joined(segment, stage.results)
        return stage

    def _name(self, words: str) -> str:
        """Returns the name of the next stage."""
        return f"{len(self.stages):02d}-{label(words)}"

    def _run(
        self, name: str, tasks: Sequence[Any], executor: Executor | None = None
    ) -> list[dict[str, Any]]:
        """Runs a stage."""
        results = run_stage(
            executor or self._executor, Path(self._folder), name, tasks
        )
        self.stages.append(Stage(name, results))
        return results


def timings(stages: Sequence[Stage]) -> dict[str, Any]:
    """Returns the seconds of all stages and steps, of all workers together.

    Example:

    >>> result = {"seconds": 2.0, "cpu_seconds": 1.0, "bytes": 8}
    >>> timings([Stage("00-read", [result])])["stages"][0]["cpu_seconds"]
    1.0
    """
    return {"stages": [_timing(stage) for stage in stages]}


def _timing(stage: Stage) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "stage": stage.name,
        "tasks": len(stage.results),
        "bytes": sum(result.get("bytes", 0) for result in stage.results),
        **{
            name: sum(result[name] for result in stage.results)
            for name in ("seconds", "cpu_seconds")
        },
    }
    if stage.counts:
        each = [result["step_cpu_seconds"] for result in stage.results]
        facts["steps"] = [
            {
                "step": counts.step,
                "bytes": counts.bytes_in,
                "cpu_seconds": sum(own),
            }
            for counts, own in zip(
                stage.counts, list(zip(*each, strict=True))[1:], strict=True
            )
        ]
    return facts


def _shards(results: Iterable[dict[str, Any]]) -> list[Shard]:
    return [Shard(**one) for result in results for one in result["shards"]]


def _joined(segment: Segment, results: list[dict[str, Any]]) -> list[Counts]:
    """Returns the counts of each step over all shards."""
    steps = segment.all
    # As they would be read again, whatever happened to be a tuple.
    settings = [json.loads(json.dumps(step.settings)) for step in steps]
    joined = [
        Counts(step.name, settings=values)
        for step, values in zip(steps, settings, strict=True)
    ]
    for result in results:
        for counts, record in zip(joined, result["counts"], strict=True):
            counts.add(Counts.from_record(record))
    return joined
