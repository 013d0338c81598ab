"""Who packs a corpus: this process, or several."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_llm.executors import Executor


@contextmanager
def asked_executor(
    corpus: Path,
    engine: str | None,
    workers: int | None,
    scheduler: str | None,
    work: Path | None,
) -> Iterator["Executor | None"]:
    """Yields what the options ask for; None where one block is all there is.

    Example:

    >>> with asked_executor(Path(), None, None, None, None) as executor:
    ...     executor is None
    True
    """
    from keras_llm.data.token_blocks import BLOCK_BYTES
    from keras_llm.executors import open_executor

    files = corpus.glob("*.jsonl")
    large = sum(file.stat().st_size for file in files) > BLOCK_BYTES
    if engine is None and (large or workers or scheduler):
        engine = "local"
    elif engine is None and work:
        engine = "inline"
    if engine is None:
        yield None
        return
    with open_executor(engine, workers, scheduler) as executor:
        yield executor


def work_of(output: Path, work: Path | None) -> Path:
    """Returns the folder to work in, beside the result if none is named.

    Example:

    >>> work_of(Path("runs/rows"), None)
    PosixPath('runs/rows.work')
    """
    return work or output.with_name(f"{output.name}.work")
