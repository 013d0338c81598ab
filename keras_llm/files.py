"""Writing files so that a kill or a full disk never leaves half of one.

Everything is written under a temporary name in the same folder, flushed to
the disk and then renamed: a reader sees the old content or the new one. And
nothing is replaced that we did not write.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path that becomes `path` when the block succeeds.

    The block may create a file or a folder there. On an error the temporary
    is removed and what stood at `path` before is untouched.

    Args:
        path: The final file or folder. An existing file is replaced at once;
            an existing folder is moved aside, replaced, then removed, so
            write whole folders through `new_folder`.

    Raises:
        OSError: The disk is full or the folder is not writable, or a file
            was written where a folder stands.

    Example:

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        _flush(temporary)
        if path.is_dir():
            if not temporary.is_dir():
                raise IsADirectoryError(
                    f"Expected a file to write to. Received: the folder "
                    f"{path}. Name a file in it."
                )
            _replace_folder(temporary, path, holder / "previous")
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_text(path, "é")
    >>> path.read_bytes()
    b'\\xc3\\xa9'
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_folder(
    path: str | os.PathLike, is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """Yields an empty folder that becomes `path` when the block succeeds.

    An earlier folder of the same kind at `path` is replaced as a whole; on an
    error it is left as it was.

    Args:
        path: The final folder.
        is_ours: Says of a folder that is not empty whether the caller wrote
            it, so that it may be replaced; `holds_only` is one way to know.

    Raises:
        InputError: `path` is a file or somebody else's folder.
        OSError: The disk is full or the folder is not writable.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "out"
    >>> for text in ("first", "second"):
    ...     with new_folder(path, holds_only({"a.txt"})) as folder:
    ...         _ = (folder / "a.txt").write_text(text)
    >>> (path / "a.txt").read_text()
    'second'
    """
    path = Path(os.path.abspath(path))
    check_new_folder(path, is_ours)
    with atomic_path(path) as temporary:
        temporary.mkdir()
        yield temporary


def check_new_folder(
    path: str | os.PathLike, is_ours: Callable[[Path], bool]
) -> None:
    """Refuses what `new_folder` would, before the work for it is done.

    Args and errors as for `new_folder`.

    Example:

    >>> import tempfile
    >>> check_new_folder(tempfile.mkdtemp(), holds_only({"a.txt"}))
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(
            f"Expected a folder to write to. Received: the file {path}. "
            "Name another output folder."
        )
    held = sorted(path.iterdir()) if path.is_dir() else []
    if held and not is_ours(path):
        names = ", ".join(file.name for file in held[:8])
        raise InputError(
            "Expected a new folder, an empty one, or an earlier result of "
            f"the same kind to replace. Received: {path}, which holds other "
            f"files ({names}). Name another output folder."
        )


def holds_only(names: Iterable[str]) -> Callable[[Path], bool]:
    """Returns a test of a folder: has it files of these names only.

    Example:

    >>> import tempfile
    >>> holds_only({"a.txt"})(Path(tempfile.mkdtemp()))
    True
    """
    known = frozenset(names)
    return lambda folder: {file.name for file in folder.iterdir()} <= known


def check_room(path: str | os.PathLike, size: int) -> None:
    """Makes sure that a new file of `size` bytes fits, before it is written.

    For writers that cannot fail cleanly: HDF5 ends the whole process when
    the disk is full. The room is asked for, not guessed from what is free, so
    that quotas count; then it is given back.

    Args:
        path: The file to be written; nothing may be there.
        size: Bytes.

    Raises:
        OSError: The disk is full, or the folder is missing or not writable.

    Example:

    >>> import tempfile
    >>> check_room(Path(tempfile.mkdtemp()) / "new", 1000)
    """
    try:
        with open(path, "xb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
            elif shutil.disk_usage(Path(path).parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        Path(path).unlink(missing_ok=True)


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        InputError: It is no JSON in UTF-8, or something else than an object.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "config.json"
    >>> _ = path.write_text('{"n_layer": 2}')
    >>> read_json(path)
    {'n_layer': 2}
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"Expected JSON in {path}. Received: {error}. The file is "
            "damaged: copy or download it again."
        ) from error
    if not isinstance(values, dict):
        raise InputError(
            f"Expected an object in {path}. Received: {type(values).__name__}."
        )
    return values


def read_settings(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the values in a file that a person wrote, YAML or JSON.

    Args:
        path: A file; .yaml and .yml are read as YAML, all else as JSON. An
            empty YAML file has no values.

    Raises:
        InputError: It cannot be read, or holds something else than values by
            name.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "lora.yaml"
    >>> _ = path.write_text("rank: 8  # of both matrices")
    >>> read_settings(path)
    {'rank': 8}
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        return read_json(path)
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"Expected YAML in {path}. Received: {said}."
        ) from error
    if not isinstance(values, dict):
        raise InputError(
            f"Expected values by name in {path}, such as `name: value`. "
            f"Received: {values!r:.40}."
        )
    return values


def sha256_of(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file's content as 64 hexadecimal digits.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "empty"
    >>> _ = path.write_bytes(b"")
    >>> sha256_of(path)[:8]
    'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace_folder(new: Path, path: Path, aside: Path) -> None:
    """Puts a new folder in the place of another, or leaves the other."""
    os.rename(path, aside)
    try:
        os.rename(new, path)
    except BaseException:  # Ctrl-C too, or the other would be removed
        os.rename(aside, path)
        raise


def _flush(path: Path) -> None:
    """Asks the disk to keep what was written before it is renamed."""
    files = path.rglob("*") if path.is_dir() else [path]
    if not path.exists():
        raise FileNotFoundError(f"Nothing was written to {path}.")
    for file in files:
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
