"""Folders that appear whole, and never replace what we did not write."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from keras_llm.errors import InputError
from keras_llm.files import atomic_path


@contextlib.contextmanager
def new_folder(
    path: str | os.PathLike, marker: str, kind: str
) -> Iterator[Path]:
    """Yields an empty folder that becomes `path` when the block succeeds.

    An earlier folder of the same kind at `path` is replaced as a whole; on an
    error it is left as it was.

    Args:
        path: The final folder.
        marker: Name of the JSON file that every folder of this kind has, for
            example "manifest.json". The block has to write it.
        kind: What stands there as "format". A non-empty folder without
            this belongs to somebody else and is refused.

    Raises:
        InputError: `path` is a file or somebody else's folder.
        OSError: The disk is full or the folder is not writable.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "out"
    >>> with new_folder(path, "manifest.json", "rows") as folder:
    ...     _ = (folder / "manifest.json").write_text('{"format": "rows"}')
    >>> [file.name for file in path.iterdir()]
    ['manifest.json']
    """
    path = Path(os.path.abspath(path))
    _check_replaceable(path, marker, kind)
    with atomic_path(path) as temporary:
        temporary.mkdir()
        yield temporary


def _check_replaceable(path: Path, marker: str, kind: str) -> None:
    """Refuses a path whose replacement would delete foreign files."""
    if path.is_dir():
        if not any(path.iterdir()) or _format(path / marker) == kind:
            return
        raise InputError(
            f"Expected a new folder, an empty one, or an earlier {kind!r} "
            f"folder to replace. Received: {path}, which holds other files. "
            "Name another output folder."
        )
    if path.exists():
        raise InputError(
            f"Expected a folder to write to. Received: the file {path}. "
            "Name another output folder."
        )


def _format(marker: Path) -> str | None:
    """Returns the "format" of a marker file; None where there is none."""
    if not marker.is_file():
        return None
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return content.get("format") if isinstance(content, dict) else None
