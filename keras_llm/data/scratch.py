"""Folders for work in progress, beside the result."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_llm.files import TEMPORARY


@contextmanager
def work_folder(
    work: str | os.PathLike | None, out_folder: str | os.PathLike
) -> Iterator[Path]:
    """Yields a folder to work in, which may not exist yet.

    Args:
        work: Its name; it stays. None gives a temporary one on the disk of
            the result, which is removed at the end.
        out_folder: Where the result goes.

    Example:

    >>> with work_folder("work", "rows") as folder:
    ...     folder
    PosixPath('work')
    """
    if work is not None:
        yield Path(work)
        return
    beside = Path(os.path.abspath(out_folder)).parent
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=TEMPORARY, dir=beside, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder, "work")
