"""Reading documents from files and folders, in an order that never changes."""

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document, write_jsonl
from keras_llm.data.readers import (
    Reading,
    kind_of,
    read_jsonl,
    read_parquet,
    read_text,
)
from keras_llm.errors import InputError

__all__ = ["Document", "Reader", "read_documents", "write_jsonl"]

_NOT_CORPUS = frozenset({"__pycache__", "node_modules"})


class Reader(Iterator[Document]):
    """Yields documents and counts what it had to leave out.

    Attributes:
        counts: A `Counts` named "read": files and lines that gave no document,
            with the reason.

    Example:

    >>> reader = Reader(iter([Document("Hi", "me")]), Counts("read"), "here")
    >>> [document.text for document in reader]
    ['Hi']
    >>> reader.counts.documents_out
    1
    """

    def __init__(
        self, documents: Iterator[Document], counts: Counts, where: str
    ):
        self.counts = counts
        self._documents = documents
        self._where = where

    def __next__(self) -> Document:
        """Returns the next document.

        Raises:
            InputError: There was not a single one.
        """
        try:
            document = next(self._documents)
        except StopIteration:
            if not self.counts.documents_out:
                raise InputError(self._empty()) from None
            raise
        self.counts.kept(document.text)
        return document

    def _empty(self) -> str:
        """Says that the corpus is empty and why."""
        return (
            f"Expected at least one document. Received: none in {self._where} "
            f"({self.counts.reasons()}). Pass files with text."
        )


def read_documents(
    *paths: str | os.PathLike,
    text_field: str = "text",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Reader:
    """Reads documents from files and folders.

    A text file (.txt .md .rst ...) or source file (.py .c .js ...) is one
    document; a JSON Lines file (.jsonl, .ndjson) has one per line, a Parquet
    file one per row. Text and JSON Lines may be gzipped (.gz). A folder is
    read recursively in sorted order, without hidden files and folders; files
    of other types in it are counted drops. A file named directly is read as
    text when its suffix is unknown.

    The rule for broken text: a file named directly that is binary or not in
    `encoding` is an error; inside a folder it is a counted drop ("binary",
    "not UTF-8"); a broken line of JSON Lines is always an error.

    Args:
        paths: Files and folders, read in the order given.
        text_field: Field of JSON Lines and column of Parquet with the text.
        encoding: Encoding of text and JSON Lines. A byte order mark of UTF-8
            is removed, CRLF in text files becomes LF.
        errors: "strict", or "replace" to put U+FFFD in place of bad bytes.

    Returns:
        A `Reader`: an iterator of `Document` with `.counts`.

    Raises:
        InputError: At once for a missing path, a folder without a readable
            file, an unknown encoding; while reading for broken files and when
            there was no document at all.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "b.txt").write_text("two")
    >>> _ = (folder / "a.jsonl").write_text('{"text": "one"}')
    >>> _ = (folder / "c.png").write_bytes(b"...")
    >>> reader = read_documents(folder)
    >>> [document.text for document in reader]
    ['one', 'two']
    >>> dict(reader.counts.dropped)
    {'unknown file type .png': 1}
    """
    _check_encoding(encoding, errors)
    counts = Counts("read")
    reading = Reading(text_field, encoding, errors, counts)
    files = [file for path in paths for file in _files(Path(path), counts)]
    where = ", ".join(str(path) for path in paths) or "no path at all"
    return Reader(_read(files, reading), counts, where)


def _read(
    files: list[tuple[Path, bool]], reading: Reading
) -> Iterator[Document]:
    """Yields the documents of (file, named directly) pairs."""
    for path, explicit in files:
        kind = kind_of(path)
        if kind == "jsonl":
            yield from read_jsonl(path, reading)
        elif kind == "parquet":
            yield from read_parquet(path, reading)
        else:
            yield from read_text(path, reading, explicit)


def _files(path: Path, counts: Counts) -> list[tuple[Path, bool]]:
    """Returns the files to read at `path`, each with "named directly"."""
    if path.is_dir():
        return [(file, False) for file in _files_below(path, counts)]
    if not path.exists():
        raise InputError(
            f"Expected a file or folder with documents. Received: {path}, "
            "which does not exist. Check the spelling and the folder you are "
            f"in ({Path.cwd()})."
        )
    if path.suffix.lower() == ".json":
        raise InputError(
            f"Expected text, JSON Lines or Parquet. Received: {path}, a JSON "
            "file. Write one JSON object per line and call it .jsonl."
        )
    return [(path, True)]


def _files_below(folder: Path, counts: Counts) -> list[Path]:
    """Returns the readable files below a folder, sorted; counts the others."""
    names = [
        Path(root, name)
        for root, folders, files in _walk(folder)
        for name in files
    ]
    readable = []
    for path in sorted(names):
        if path.name.startswith("."):
            counts.drop(str(path), "hidden file")
        elif kind_of(path) is None:
            suffix = path.suffix or "(none)"
            counts.drop(str(path), f"unknown file type {suffix}")
        else:
            readable.append(path)
    if not readable:
        raise InputError(
            f"Expected a folder with text, source, JSON Lines or Parquet "
            f"files. Received: {folder}, which has none "
            f"({counts.reasons()}). Name files directly to read any suffix "
            "as text."
        )
    return readable


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walks a folder without hidden folders; an unreadable one is an error."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in _NOT_CORPUS
        ]
        yield root, folders, files


def _check_encoding(encoding: str, errors: str) -> None:
    """Refuses names that Python does not know before any file is opened."""
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise InputError(
            "Expected the name of a text encoding, for example utf-8 or "
            f"latin-1. Received: encoding={encoding!r}."
        ) from error
    if errors not in ("strict", "replace"):
        raise InputError(
            'Expected errors="strict" or errors="replace". Received: '
            f"errors={errors!r}."
        )
