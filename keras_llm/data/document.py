"""`Document`: the one record that travels from files to packed rows."""

import gzip
import itertools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_llm.data.reading.opening import pyarrow_for
from keras_llm.files import atomic_path

PARQUET_COLUMNS = ("text", "source", "license", "language", "metadata")
PARQUET_MARK = b"keras_llm documents"

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """A text and where it comes from.

    Attributes:
        text: The text, valid Unicode.
        source: Where it was found: a path, "path:line", or a name.
        license: For example "PSF-2.0" or "CC-BY-4.0"; None if unknown.
        language: For example "en"; None if unknown.
        metadata: Whatever else is known, as JSON values.

    Example:

    >>> Document("Call me Ishmael.", source="moby.txt").language is None
    True
    """

    text: str
    source: str
    license: str | None = None
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields that are set, as JSON values.

        Example:

        >>> Document("Hi", "a.txt", language="en").to_dict()
        {'text': 'Hi', 'source': 'a.txt', 'language': 'en'}
        """
        values = {
            "text": self.text,
            "source": self.source,
            "license": self.license,
            "language": self.language,
            "metadata": self.metadata or None,
        }
        return {
            key: value for key, value in values.items() if value is not None
        }


def json_line(record: dict[str, Any]) -> bytes:
    r"""Returns one line of JSON Lines in UTF-8.

    File names and metadata may hold what UTF-8 cannot; see `whole`.

    Example:

    >>> json_line({"text": "a\nb"})
    b'{"text": "a\\nb"}\n'
    """
    line = whole(json.dumps(record, ensure_ascii=False))
    return line.encode("utf-8") + b"\n"


def whole(text: str) -> str:
    r"""Joins surrogate pairs and replaces lone ones by U+FFFD.

    Example:

    >>> whole("\ud83d\ude00 \udce9") == "\U0001f600 \ufffd"
    True
    """
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def write_jsonl(path: str | os.PathLike, documents: Iterable[Document]) -> int:
    """Writes documents as JSON Lines, one at a time, whole or not at all.

    Args:
        path: The file; ".gz" or ".zst" at the end compresses it.
        documents: Any iterable; it is read once and never held in memory.

    Returns:
        The number of documents written.

    Raises:
        InputError: pyarrow is needed for ".zst" and not installed.
        OSError: The disk is full or the folder is not writable; a file that
            stood at `path` before is still there, unchanged.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> write_jsonl(path, [Document("Hi", "me")])
    1
    >>> path.read_text()
    '{"text": "Hi", "source": "me"}\\n'
    """
    number = 0
    with atomic_path(path) as temporary, _create(temporary) as file:
        for document in documents:
            file.write(json_line(document.to_dict()))
            number += 1
    return number


def write_parquet(
    path: str | os.PathLike, documents: Iterable[Document]
) -> int:
    """Writes documents as a Parquet file, whole or not at all.

    The columns are the fields of `Document`, all of them strings: the metadata
    is JSON, which `read_documents` reads back. Compressed by Zstandard, 1024
    documents are held in memory at a time.

    Args:
        path: The file.
        documents: Any iterable; it is read once.

    Returns:
        The number of documents written.

    Raises:
        InputError: pyarrow is not installed.
        OSError: The disk is full or the folder is not writable; a file that
            stood at `path` before is still there, unchanged.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.parquet"
    >>> write_parquet(path, [Document("Hi", "me")])
    1
    """
    pyarrow = pyarrow_for(path)
    schema = pyarrow.schema(
        [(name, pyarrow.string()) for name in PARQUET_COLUMNS],
        metadata={PARQUET_MARK: "1"},
    )
    documents, number = iter(documents), 0
    with (
        atomic_path(path) as temporary,
        pyarrow.parquet.ParquetWriter(
            temporary, schema, compression="zstd"
        ) as file,
    ):
        while batch := list(itertools.islice(documents, 1024)):
            rows = [_parquet_row(document) for document in batch]
            file.write_table(pyarrow.Table.from_pylist(rows, schema))
            number += len(batch)
    return number


def _parquet_row(document: Document) -> dict[str, str]:
    """Returns the fields that are set, the metadata as JSON."""
    row = document.to_dict()
    if document.metadata:
        row["metadata"] = json.dumps(document.metadata, ensure_ascii=False)
    return {name: whole(value) for name, value in row.items()}


def _create(path: Path) -> Any:
    """Opens a file for writing; gzip without a time, so that equal documents
    give equal files.
    """
    if path.suffix == ".gz":
        return gzip.GzipFile(path, "wb", mtime=0)
    if path.suffix == ".zst":
        return pyarrow_for(path).CompressedOutputStream(str(path), "zstd")
    return open(path, "wb")
