"""`Document`: the one record that travels from files to packed rows."""

import gzip
import io
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_llm.files import atomic_path

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
        path: The file; ".gz" at the end compresses it.
        documents: Any iterable; it is read once and never held in memory.

    Returns:
        The number of documents written.

    Raises:
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


def _create(path: Path) -> io.BufferedIOBase:
    """Opens a file for writing; gzip without a time, so that equal documents
    give equal files.
    """
    if path.suffix == ".gz":
        return gzip.GzipFile(path, "wb", mtime=0)
    return open(path, "wb")
