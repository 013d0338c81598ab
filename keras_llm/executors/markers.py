"""Completion markers: work whose marker is there is not done again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_llm.files import write_text

SUFFIX = ".done"


def done_once(
    folder: str | os.PathLike, name: str, work: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Does work unless its marker `name.done` is there; returns its result.

    The marker is written after the work, whole or not at all. A process that
    is killed in between leaves no marker, and the work is done again.

    Args:
        folder: Where the marker goes.
        name: What the work is called, unique in the folder.
        work: Writes its files whole (`keras_llm.files`) and returns what is
            to be known of them, as JSON values.

    Raises:
        OSError: The disk is full; there is no marker then.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> done_once(folder, "sum", lambda: {"value": 1 + 1})
    {'value': 2}
    >>> done_once(folder, "sum", lambda: {"value": 0})
    {'value': 2}
    """
    marker = Path(folder, name + SUFFIX)
    if not marker.is_file():
        result = work()
        write_text(marker, json.dumps(result))
    return json.loads(marker.read_text(encoding="utf-8"))


def is_done(folder: str | os.PathLike, name: str) -> bool:
    """Returns whether the marker of some work is there.

    Example:

    >>> import tempfile
    >>> is_done(tempfile.mkdtemp(), "sum")
    False
    """
    return Path(folder, name + SUFFIX).is_file()
