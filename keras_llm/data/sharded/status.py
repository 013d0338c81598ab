"""How far a curation is: what its work folder, or its result, says."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_llm.data.corpus_folder import FORMAT as CORPUS
from keras_llm.data.corpus_folder import REPORT
from keras_llm.data.folders import of_format
from keras_llm.data.sharded.curating import TIMINGS, work_folder_of
from keras_llm.data.sharded.work_folder import (
    FAILED,
    FORMAT,
    PLAN,
    STAGE,
    TRIES,
)
from keras_llm.errors import InputError
from keras_llm.executors.markers import SUFFIX
from keras_llm.files import read_json

MEGA = 1e6


@dataclass(frozen=True)
class StageStatus:
    """How far a stage is.

    Attributes:
        name: Its name.
        tasks: How many it has.
        done: How many are done.
        retries: Tasks that were begun again, each time counted.
        failed: Why tasks were refused, in words.
        bytes: Of text, in the tasks that are done.
        seconds: That they took, of all workers together.

    Example:

    >>> StageStatus("00-read", 4, 4, 0, [], 9_000_000, 3.0).speed
    3.0
    """

    name: str
    tasks: int
    done: int
    retries: int
    failed: list[str]
    bytes: int
    seconds: float

    @property
    def speed(self) -> float | None:
        """MB of text per second and worker; None where no text is read."""
        if not self.bytes or not self.seconds:
            return None
        return self.bytes / MEGA / self.seconds


def curation_status(folder: str | os.PathLike) -> list[StageStatus]:
    """Returns how far each stage of a curation is.

    Stages that have not begun are not known yet.

    Args:
        folder: A work folder, or the output of a curation that runs, was
            stopped or is finished.

    Raises:
        InputError: It is neither.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, curate_shards
    >>> from keras_llm.executors import Inline
    >>> out = Path(tempfile.mkdtemp()) / "corpus"
    >>> documents = [Document(f"Text {n}. " * 40, f"{n}") for n in range(9)]
    >>> report = curate_shards(documents, out, Inline())
    >>> [(stage.name, stage.done) for stage in curation_status(out)]
    [('00-read', 1), ('01-repair', 1), ('02-exact_duplicates-note', 1), \
('03-exact_duplicates-decide', 1), ('04-exact_duplicates', 1)]
    """
    for place in (Path(folder), work_folder_of(folder)):
        if of_format(PLAN, FORMAT)(place):
            return list(_in_progress(place))
    finished = Path(folder, TIMINGS)
    if of_format(REPORT, CORPUS)(Path(folder)) and finished.is_file():
        return [
            StageStatus(
                one["stage"],
                one["tasks"],
                one["tasks"],
                0,
                [],
                one["bytes"],
                one["seconds"],
            )
            for one in read_json(finished)["stages"]
        ]
    raise InputError(
        "Expected a folder that `curate` works in, or its output. Received: "
        f"{folder}, which is neither. (A folder with texts that is called "
        "status is passed as ./status.)"
    )


def _in_progress(work: Path) -> Iterator[StageStatus]:
    for stage in sorted(work.glob(f"*{STAGE}")):
        tasks = f"{stage.stem}.*"
        done = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in work.glob(tasks + SUFFIX)
        ]
        tries = [path.stat().st_size for path in work.glob(tasks + TRIES)]
        failed = sorted(work.glob(tasks + FAILED))
        yield StageStatus(
            stage.stem,
            read_json(stage)["tasks"],
            len(done),
            sum(tries) - len(tries),
            [path.read_text(encoding="utf-8") for path in failed],
            sum(one.get("bytes", 0) for one in done),
            sum(one["seconds"] for one in done),
        )
