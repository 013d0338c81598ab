"""Finding the files of a corpus, in an order that never changes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_llm.data.reading.kinds import Reading, kind_of
from keras_llm.data.reading.opening import (
    Location,
    RemoteFile,
    file_system,
    location,
    suffix_of,
)
from keras_llm.errors import InputError

_NOT_CORPUS = frozenset({"__pycache__", "node_modules"})


class Found(NamedTuple):
    """A file, its kind (a suffix, where an extractor reads it), and whether
    the user named it.
    """

    path: Location
    kind: str
    explicit: bool


def find_files(path: str | os.PathLike, reading: Reading) -> list[Found]:
    """Returns the files to read at a path or an address; counts the others.

    Raises:
        InputError: There is nothing, or a folder without a readable file.
    """
    place = location(os.fspath(path))
    names = _below(place)
    if names is None:
        return [_named(place, reading)]
    found = []
    for name in names:
        kind = _kind(name, reading)
        if name.name.startswith("."):
            reading.counts.drop(str(name), "hidden file")
        elif kind is None:
            suffix = Path(name.name).suffix or "(none)"
            reading.counts.drop(str(name), f"unknown file type {suffix}")
        else:
            found.append(Found(name, kind, False))
    if not found:
        raise InputError(
            "Expected a folder with text, source, HTML, JSON Lines, CSV, "
            f"Parquet or WARC files. Received: {place}, which has none "
            f"({reading.counts.reasons()}). Name files directly to read any "
            "suffix as text, or pass extractors."
        )
    return found


def _kind(path: Location, reading: Reading) -> str | None:
    suffix = suffix_of(path)
    return suffix if suffix in reading.extractors else kind_of(path)


def _named(path: Location, reading: Reading) -> Found:
    """Returns a file that the user named."""
    suffix = suffix_of(path)
    kind = _kind(path, reading)
    if suffix == ".json" and kind is None:
        raise InputError(
            f"Expected text, JSON Lines or Parquet. Received: {path}, a JSON "
            "file. Write one JSON object per line and call it .jsonl."
        )
    if suffix == ".pdf" and kind is None:
        raise InputError(
            f"Expected a function that finds the text of {path}. Received: "
            'none. Pass extractors={".pdf": function}, where the function '
            "takes the bytes of a file and returns its text."
        )
    return Found(path, kind or "text", True)


def _below(place: Location) -> Sequence[Location] | None:
    """Returns the files below a folder, sorted; None: it is a file."""
    if isinstance(place, RemoteFile):
        return _below_remote(place.url)
    if place.is_dir():
        return sorted(
            Path(root, name)
            for root, _, files in _walk(place)
            for name in files
        )
    if not place.exists():
        raise InputError(
            f"Expected a file or folder with documents. Received: {place}, "
            "which does not exist. Check the spelling and the folder you are "
            f"in ({Path.cwd()})."
        )
    return None


def _below_remote(url: str) -> list[Location] | None:
    system, inner = file_system(url)
    if system.isfile(inner):
        return None
    names = system.find(inner)
    if not names:
        raise InputError(
            f"Expected a file or folder with documents. Received: {url}, "
            "where there is nothing. Check the address."
        )
    start = inner.rstrip("/") + "/"
    return [
        RemoteFile(system.unstrip_protocol(name))
        for name in sorted(names)
        if not _is_hidden(name.removeprefix(start).split("/")[:-1])
    ]


def _is_hidden(folders: list[str]) -> bool:
    """Says whether one of the folders is hidden or no part of a corpus."""
    return any(f.startswith(".") or f in _NOT_CORPUS for f in folders)


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walks a folder without hidden folders; an unreadable one is an error."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not _is_hidden([name])]
        yield root, folders, files
