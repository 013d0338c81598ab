"""`curate_shards`: curation by any executor, to be gone on with."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keras_llm.data.corpus_folder import (
    FORMAT,
    HELDOUT,
    REJECTS,
    REPORT,
    TRAIN,
    CurateReport,
    join_files,
    write_report,
)
from keras_llm.data.curate import default_steps
from keras_llm.data.document import Document
from keras_llm.data.documents import Reader
from keras_llm.data.folders import of_format
from keras_llm.data.hold_out import check_hold_out
from keras_llm.data.registry import sent
from keras_llm.data.sharded.pipeline import Pipeline, Stage, timings
from keras_llm.data.sharded.plan import Curation, plan_of
from keras_llm.data.sharded.work_folder import discard, open_work
from keras_llm.data.steps import Step
from keras_llm.errors import InputError
from keras_llm.executors import Executor, Inline
from keras_llm.files import check_new_folder, new_folder

TIMINGS = "timings.json"
SHARD_BYTES = 1 << 23


def curate_shards(
    documents: Iterable[Document],
    out_folder: str | os.PathLike,
    executor: Executor,
    heldout: float = 0.02,
    seed: int = 0,
    steps: Sequence[Step] | None = None,
    rejects: bool = True,
    work: str | os.PathLike | None = None,
    shard_bytes: int = SHARD_BYTES,
    restart: bool = False,
) -> CurateReport:
    """Does what `curate` does, in shards, by an executor.

    The corpus has the same bytes, whatever the executor, its workers and the
    size of shards are, and however often the work was stopped: each task that
    is done leaves a marker in a work folder, and the same call goes on there.
    The corpus has one more file, `timings.json`: seconds of each step.

    Steps must look at documents one by one or be `StagedStep`s, and other
    processes must be able to make them again (see `make_step`), except for
    the executor `Inline`. The work folder takes about three times the room of
    the corpus; on a cluster it must be where all machines see it, and so must
    the inputs. Memory: a shard per worker, and what the decisions of staged
    steps need (some 8 bytes per line, 50 per document).

    Args:
        documents: Best a `Reader` of files (`read_documents(...)`), which the
            workers read. Other iterables are read here, and work on them
            begins anew when it was stopped.
        out_folder: The folder to write, as for `curate`.
        executor: For example of `executors.open_executor`.
        heldout, seed, steps, rejects: As for `curate`.
        work: The work folder, removed at the end. Default: the output's name
            and ".work", beside it.
        shard_bytes: Characters of a shard.
        restart: Whether work of other inputs or settings is thrown away.

    Raises:
        InputError: As for `curate`; a step cannot be sent to other processes;
            the work folder is of other inputs, steps or settings.
        OSError: The disk is full: make room and call it again.

    Example:

    >>> import tempfile
    >>> from keras_llm.executors import Inline
    >>> folder = Path(tempfile.mkdtemp())
    >>> documents = [Document(f"Text {n}. " * 40, f"{n}") for n in range(9)]
    >>> report = curate_shards(documents, folder / "corpus", Inline())
    >>> report.train.documents + report.heldout.documents
    9
    >>> sorted(path.name for path in folder.iterdir())
    ['corpus']
    """
    check_hold_out(heldout, seed)
    if shard_bytes < 1:
        raise InputError(f"Expected shard_bytes >= 1. Received: {shard_bytes}.")
    steps = default_steps() if steps is None else steps
    curation = Curation(steps, heldout, seed, rejects, shard_bytes)
    check_new_folder(out_folder, of_format(REPORT, FORMAT))
    if not isinstance(executor, Inline):
        for step in steps:
            sent(step)  # or it is refused, before anything is read
    work_folder = Path(work) if work else work_folder_of(out_folder)
    open_work(work_folder, plan_of(documents, curation), restart)
    pipeline = Pipeline(work_folder, executor, curation)
    with _not_worth_keeping(work_folder):
        shards = pipeline.read(documents)
    wrote = pipeline.curate(shards)
    with _not_worth_keeping(work_folder):
        report = _assemble(out_folder, curation, work_folder, pipeline, wrote)
    discard(work_folder)
    if isinstance(documents, Reader) and pipeline.read_counts:
        documents.counts = pipeline.read_counts
    return report


def work_folder_of(out_folder: str | os.PathLike) -> Path:
    """Returns where the work on a corpus is, if nothing else is said.

    Example:

    >>> work_folder_of("runs/corpus").as_posix()
    'runs/corpus.work'
    """
    path = Path(out_folder)
    return path.with_name(path.name + ".work")


@contextmanager
def _not_worth_keeping(work: Path) -> Iterator[None]:
    """Removes the work folder when what it is made of was refused."""
    try:
        yield
    except InputError:
        discard(work)
        raise


def _assemble(
    out_folder: str | os.PathLike,
    curation: Curation,
    work: Path,
    pipeline: Pipeline,
    wrote: Sequence[Stage],
) -> CurateReport:
    """Writes the corpus folder from what the tasks wrote."""
    counts = [pipeline.read_counts] if pipeline.read_counts else []
    counts += [one for stage in wrote for one in stage.counts]
    with new_folder(out_folder, of_format(REPORT, FORMAT)) as folder:
        for side in (TRAIN, HELDOUT):
            parts = (work / name / side for name in wrote[-1].folders)
            join_files(parts, folder / side)
        if curation.rejects:
            _join_rejects(work, wrote, folder / REJECTS)
        report = write_report(
            folder, out_folder, curation.heldout, curation.seed, counts
        )
        text = json.dumps(timings(pipeline.stages), indent=1)
        (folder / TIMINGS).write_text(text + "\n", encoding="utf-8")
    return report


def _join_rejects(work: Path, wrote: Sequence[Stage], whole: Path) -> None:
    """Writes the rejects of all shards, step by step."""
    with open(whole, "wb") as out:
        for stage in wrote:
            for step in range(len(stage.counts)):
                for name, result in zip(
                    stage.folders, stage.results, strict=True
                ):
                    sizes = result["rejects"]
                    with open(work / name / REJECTS, "rb") as file:
                        file.seek(sum(sizes[:step]))
                        out.write(file.read(sizes[step]))
