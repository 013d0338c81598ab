"""The options of verbs whose work can be done by several processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from keras_llm.executors import Executor

Workers = Annotated[
    int | None,
    typer.Option(help="Processes that share the work. Default: only this one."),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="Who runs them: local (this machine), dask, beam, or inline "
        "(none, but it goes on after a kill)."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a running cluster: tcp://HOST:8786."),
]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Folder for what is done so far, on a disk that all workers see. "
        "Default: OUTPUT.work; it is removed at the end."
    ),
]


@contextmanager
def asked_executor(
    engine: str | None,
    workers: int | None,
    scheduler: str | None,
    work: Path | None = None,
) -> Iterator["Executor | None"]:
    """Yields what the options ask for; None where none of them is given.

    With a work folder alone it is this process, so that it can go on.

    Example:

    >>> with asked_executor(None, None, None) as executor:
    ...     executor is None
    True
    """
    from keras_llm.executors import open_executor

    if engine is None and workers is None and scheduler is None:
        if work is None:
            yield None
            return
        engine = "inline"
    with open_executor(engine or "local", workers, scheduler) as executor:
        yield executor


def work_of(output: Path, work: Path | None) -> Path:
    """Returns the folder to work in, beside the result if none is named.

    Example:

    >>> work_of(Path("runs/rows"), None)
    PosixPath('runs/rows.work')
    """
    return work or output.with_name(f"{output.name}.work")
