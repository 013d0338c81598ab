"""The folder of a curation in progress: its plan, and tasks with markers."""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, Protocol

from keras_llm.data.folders import of_format
from keras_llm.errors import InputError
from keras_llm.executors import Executor, done_once, is_done
from keras_llm.executors.attempts import FULL
from keras_llm.executors.markers import SUFFIX
from keras_llm.files import TEMPORARY, check_new_folder, read_json, write_text

PLAN = "plan.json"
FORMAT = "keras_llm curation in progress"
STAGE, TRIES, FAILED = ".stage", ".tries", ".failed"

_log = logging.getLogger(__name__)


class Task(Protocol):
    """One piece of work that leaves a marker."""

    @property
    def folder(self) -> str:
        """The work folder."""
        ...

    @property
    def name(self) -> str:
        """Unique in the folder."""
        ...

    def work(self) -> dict[str, Any]:
        """Writes its files whole; returns what is to be known of them."""
        ...


def open_work(folder: Path, plan: dict[str, Any], restart: bool) -> None:
    """Makes a work folder, or goes on with one of the same plan.

    Args:
        folder: The work folder.
        plan: JSON values. Without "inputs" nothing is known of them, so an
            earlier folder is never gone on with.
        restart: Whether work of another plan is thrown away.

    Raises:
        InputError: Something else is there, or work of another plan.
    """
    check_new_folder(folder, of_format(PLAN, FORMAT))
    plan = json.loads(json.dumps({"format": FORMAT, **plan}))
    if (folder / PLAN).is_file():
        found = read_json(folder / PLAN)
        other = [k for k in plan if plan[k] != found.get(k)]
        if plan["inputs"] is None or (other and restart):
            discard(folder)
        elif other:
            raise InputError(
                f"Expected {folder} to be work on the same inputs with the "
                f"same settings. Received: other {', '.join(other)}. Run the "
                "same command as before to go on with it, start again with "
                "restart=True (--force), or name another work folder."
            )
    _say_where(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{TEMPORARY}*"):  # by who was killed
        shutil.rmtree(left)
    write_text(folder / PLAN, json.dumps(plan, indent=1))


def _say_where(folder: Path) -> None:
    """Warns that earlier work is gone on with, and says how far it is."""
    stages = sorted(folder.glob(f"*{STAGE}"))
    if stages:
        name = stages[-1].stem
        done = len(list(folder.glob(f"{name}.*{SUFFIX}")))
        _log.warning(
            "Going on with %s: %d of %d tasks of %s are done.",
            *(folder, done, read_json(stages[-1])["tasks"], name),
        )


def run_stage(
    executor: Executor, folder: Path, stage: str, tasks: Sequence[Task]
) -> list[dict[str, Any]]:
    """Runs the tasks whose markers are missing; returns all results.

    Args:
        executor: Who runs them.
        folder: The work folder.
        stage: Its name; the tasks' begin with it.
        tasks: All of the stage.

    Raises:
        InputError: Tasks refused their input; the others are done.
        OSError: The disk is full, with the room there is, and others.
    """
    write_text(folder / f"{stage}{STAGE}", json.dumps({"tasks": len(tasks)}))
    todo = [task for task in tasks if not is_done(folder, task.name)]
    new = executor.map(run_task, todo, stage) if todo else []
    results = dict(zip((task.name for task in todo), new, strict=True))
    for task in tasks:
        if task.name not in results:
            results[task.name] = run_task(task)
    return [results[task.name] for task in tasks]


def run_task(task: Task) -> dict[str, Any]:
    """Runs a task unless its marker is there; returns its result.

    The result has "seconds" that the work took, and "cpu_seconds" of the
    processor.
    """
    failed = Path(task.folder, task.name + FAILED)
    try:
        return done_once(task.folder, task.name, partial(_timed, task))
    except InputError as error:
        write_text(failed, str(error))
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(task.folder).free
        words = f"{error.strerror}, {free:,} bytes free"
        raise OSError(error.errno, words, task.folder) from error


def _timed(task: Task) -> dict[str, Any]:
    begun, used = perf_counter(), thread_time()
    Path(task.folder, task.name + FAILED).unlink(missing_ok=True)
    with open(Path(task.folder, task.name + TRIES), "ab") as file:
        file.write(b".")
    result = task.work()
    return {
        "seconds": perf_counter() - begun,
        "cpu_seconds": thread_time() - used,
        **result,
    }


def discard(folder: Path) -> None:
    """Removes a work folder; a kill on the way leaves nothing of its name."""
    aside = folder.with_name(TEMPORARY + folder.name)
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(folder, aside)
    shutil.rmtree(aside)


def remove(folder: str | os.PathLike, names: Sequence[str]) -> None:
    """Removes files that no later stage needs; they may be gone already."""
    for name in names:
        Path(folder, name).unlink(missing_ok=True)
