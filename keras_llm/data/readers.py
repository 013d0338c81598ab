"""One reader per file format; each yields `Document` records."""

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document, whole
from keras_llm.errors import InputError

TEXT = frozenset(".txt .text .md .markdown .rst .tex".split())
SOURCE = frozenset(
    ".py .pyi .pyx .c .h .cc .cpp .cxx .hpp .cs .go .java .js .jsx .mjs .ts"
    " .tsx .kt .rs .rb .php .swift .scala .sh .sql .r .jl .lua .pl .hs .ml"
    " .clj .ex .erl .dart .css".split()
)
JSONL = frozenset({".jsonl", ".ndjson"})
PARQUET = frozenset({".parquet"})
FIELDS = ("source", "license", "language")


@dataclass(frozen=True)
class Reading:
    """How files are read: the field that holds text, encoding, and counts."""

    text_field: str
    encoding: str
    errors: str
    counts: Counts


def kind_of(path: Path) -> str | None:
    """Returns "text", "jsonl", "parquet", or None for an unknown suffix.

    A final ".gz" is looked through, except for Parquet.

    Example:

    >>> kind_of(Path("a/b.jsonl.gz"))
    'jsonl'
    """
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in TEXT or suffix in SOURCE:
        return "text"
    if suffix in JSONL:
        return "jsonl"
    return "parquet" if Path(name).suffix in PARQUET else None


def read_text(
    path: Path, reading: Reading, explicit: bool
) -> Iterator[Document]:
    """Yields one document: the whole file, without a byte order mark, CRLF
    turned into LF.

    A file that is binary or cannot be decoded is an error when the user named
    it (`explicit`), and a counted drop inside a folder.
    """
    with open_bytes(path) as file:
        data = file.read()
    try:
        text = data.decode(_signed(reading.encoding), reading.errors)
    except UnicodeDecodeError as error:
        text, problem = "", _undecodable(data, error, reading.encoding)
    else:
        problem = "binary" if "\0" in text else ""
    if problem and explicit:
        raise InputError(_refusal(path, problem))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if problem:
        reading.counts.drop(str(path), problem.split(" (")[0])
    elif not text.strip():
        reading.counts.drop(str(path), "empty")
    else:
        yield Document(text, str(path))


def read_jsonl(path: Path, reading: Reading) -> Iterator[Document]:
    """Yields one document per line.

    `source`, `license` and `language` are taken over when they are strings;
    all other fields go to `metadata`. Without a source it is "file:line".
    Lone surrogates become U+FFFD, so that every text can be written as UTF-8.
    """
    for number, record in json_lines(path, reading.encoding, reading.errors):
        source = f"{path}:{number}"
        document = _document(
            record, reading.text_field, f"{path}, line {number}", source
        )
        if document is None:
            reading.counts.drop(source, "null text")
        else:
            yield document


def json_lines(
    path: Path, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields number and object of each line that is not blank; like
    `text_lines`, and a line that is no JSON object is an InputError too.
    """
    for number, line in text_lines(path, encoding, errors):
        if line.strip():
            yield number, _parse(line, f"{path}, line {number}")


def text_lines(
    path: Path, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[tuple[int, str]]:
    """Yields the number and the text of each line, with its line end.

    Args:
        path: A text file, which may be gzipped (.gz).
        encoding: Its encoding. A byte order mark of UTF-8 is left out.
        errors: "strict", or "replace" for U+FFFD in place of bad bytes.

    Raises:
        InputError: A line cannot be decoded; it is named.
    """
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode(_signed(encoding), errors)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"Expected {encoding.upper()} text. Received: {path}, "
                    f"line {number}, byte {error.start} of the line cannot be "
                    'decoded. Pass encoding="latin-1" (or the right one), or '
                    'errors="replace".'
                ) from error


def read_parquet(path: Path, reading: Reading) -> Iterator[Document]:
    """Yields one document per row; reads the text column and, where they
    exist, `source`, `license` and `language`.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"Expected pyarrow to read {path}. Received: it is not installed. "
            "Do: pip install 'keras_llm[data]'"
        ) from error
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = [reading.text_field, *(f for f in FIELDS if f in names)]
            if reading.text_field not in names:
                raise InputError(_no_field(reading.text_field, names, path))
            batches = file.iter_batches(batch_size=1024, columns=columns)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from _rows(rows, path, reading)
    except pyarrow.ArrowInvalid as error:
        raise InputError(
            f"Expected a Parquet file. Received: {path}, which cannot be read "
            f"({error}). Write the file again."
        ) from error


def open_bytes(path: Path) -> io.BufferedIOBase:
    """Opens a file for reading bytes; ".gz" is decompressed on the way."""
    if path.name.lower().endswith(".gz"):
        return _Gzip(path)
    return open(path, "rb")


class _Gzip(gzip.GzipFile):
    """A gzip file whose damage is reported as a sentence with its name."""

    def __init__(self, path: Path):
        super().__init__(path, "rb")
        self._path = path

    def read(self, size: int | None = -1) -> bytes:
        return self._told(super().read, size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._told(super().readline, size)

    def _told(self, read: Any, size: int | None) -> bytes:
        try:
            return read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"Expected a whole gzip file. Received: {self._path}, which "
                f"cannot be decompressed ({error}). Copy the file again."
            ) from error


def _signed(encoding: str) -> str:
    """Lets UTF-8 files start with a byte order mark."""
    utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    return "utf-8-sig" if utf8 else encoding


def _undecodable(data: bytes, error: UnicodeDecodeError, encoding: str) -> str:
    """Names the problem; what stands in brackets is for messages only."""
    if b"\0" in data:
        return "binary"
    return f"not {encoding.upper()} (first bad byte at offset {error.start})"


def _refusal(path: Path, problem: str) -> str:
    """Says what to do about a file that is not text."""
    if problem == "binary":
        return (
            f"Expected a text file. Received: {path}, which is binary (it has "
            "NUL bytes). Pass text, JSONL (.jsonl) or Parquet (.parquet)."
        )
    return (
        f"Expected text in the stated encoding. Received: {path} is {problem}. "
        'Pass encoding="latin-1" (or the right one), or errors="replace" to '
        "put U+FFFD in place of bad bytes."
    )


def _parse(line: str, where: str) -> dict[str, Any]:
    """Returns the JSON object of one line."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"Expected one JSON object per line. Received: {where} is not "
            f"valid JSON ({error}). The file may be cut off; write it again "
            "or remove the line."
        ) from error
    if not isinstance(record, dict):
        raise InputError(
            f"Expected one JSON object per line. Received: {where} holds a "
            f"{type(record).__name__}. Write lines like "
            '{"text": "..."}.'
        )
    return record


def _rows(
    rows: Iterator[dict[str, Any]], path: Path, reading: Reading
) -> Iterator[Document]:
    """Yields the documents of Parquet rows."""
    for number, row in enumerate(rows, start=1):
        name = f"{path}:{number}"
        row = {
            key: value
            for key, value in row.items()
            if key not in FIELDS or value is not None
        }
        document = _document(row, reading.text_field, name, name)
        if document is None:
            reading.counts.drop(name, "null text")
        else:
            yield document


def _document(
    record: dict[str, Any], text_field: str, where: str, source: str
) -> Document | None:
    """Returns the document of one record; None where the text is null."""
    record = dict(record)
    if text_field not in record:
        raise InputError(_no_field(text_field, list(record), where))
    text = record.pop(text_field)
    if text is None:
        return None
    if not isinstance(text, str):
        raise InputError(
            f"Expected a string in field {text_field!r}. Received: "
            f"{where} holds a {type(text).__name__}. Name another field with "
            "text_field=..., or fix the line."
        )
    known = {
        name: record.pop(name)
        for name in FIELDS
        if isinstance(record.get(name), str)
    }
    metadata = record.pop("metadata", {})
    if not isinstance(metadata, dict):
        metadata = {"metadata": metadata}
    metadata = {
        **metadata,
        **{k: v for k, v in record.items() if v is not None},
    }
    return Document(
        whole(text), known.pop("source", source), **known, metadata=metadata
    )


def _no_field(
    text_field: str, names: list[str], where: str | os.PathLike
) -> str:
    """Says which fields there are."""
    return (
        f"Expected a field {text_field!r} with the text. Received: {where} "
        f"has the fields {names}. Name the right one with text_field=..."
    )
