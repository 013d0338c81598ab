"""Fingerprints of files: what they hold, not when they were written."""

import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_llm.files import sha256_of


def files_fingerprint(paths: Iterable[str | os.PathLike], *more: Any) -> str:
    """Returns one hash of the content of files, and of settings beside them.

    A file is read once in a process, and again when its size or time changed.

    Args:
        paths: Files.
        *more: What the answers depend on as well, for example a precision.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_text("a rose")
    >>> files_fingerprint([path]) != files_fingerprint([path], "float16")
    True
    """
    digest = hashlib.sha256(repr(more).encode())
    for path in sorted(map(Path, paths)):
        found = path.stat()
        known = _hashed(path.resolve(), found.st_size, found.st_mtime_ns)
        digest.update(f"{path.name} {known}\n".encode())
    return digest.hexdigest()[:32]


def folder_fingerprint(folder: str | os.PathLike, *more: Any) -> str:
    """Returns the fingerprint of all files of a folder but its words.

    Hidden files and Markdown, such as a model card, change no answer.
    """
    files = [
        path
        for path in Path(folder).rglob("*")
        if path.is_file()
        and path.suffix != ".md"
        and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        )
    ]
    return files_fingerprint(files, *more)


@functools.cache
def _hashed(path: Path, size: int, time: int) -> str:
    return sha256_of(path)
