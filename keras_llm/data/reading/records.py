"""Files with many documents each: JSON Lines, tables, Parquet."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from keras_llm.data.document import PARQUET_MARK, Document, whole
from keras_llm.data.reading.kinds import Reading
from keras_llm.data.reading.lines import json_lines, text_lines
from keras_llm.data.reading.opening import (
    Location,
    open_bytes,
    pyarrow_for,
    suffix_of,
)
from keras_llm.errors import InputError

FIELDS = ("source", "license", "language")
LONGEST_CELL = 1 << 28  # characters; the module stops at 2 ** 17


def read_jsonl(path: Location, reading: Reading) -> Iterator[Document]:
    """Yields one document per line.

    `source`, `license` and `language` are taken over when they are strings;
    all other fields go to `metadata`. Without a source it is "file:line".
    Lone surrogates become U+FFFD, so that every text can be written as UTF-8.
    """
    lines = json_lines(path, reading.encoding, reading.errors)
    for number, record in lines:
        where = f"{path}, line {number}"
        yield from _documents(record, where, f"{path}:{number}", reading)


def read_table(path: Location, reading: Reading) -> Iterator[Document]:
    """Yields one document per row of a CSV or TSV file.

    The first line names the columns. They are taken over as the fields of
    JSON Lines are, except that an empty cell says that a value is not known.
    Both kinds may have quotes around cells, with line ends in them.
    """
    rows = _cells(path, reading)
    names = next(rows, (0, []))[1]
    if names and reading.text_field not in names:
        raise InputError(_no_field(reading.text_field, names, path))
    for number, cells in rows:
        where = f"{path}, line {number}"
        if len(cells) != len(names):
            raise InputError(
                f"Expected {len(names)} columns ({', '.join(names):.120}). "
                f"Received: {len(cells)} in {where}. Put quotes around a text "
                "with commas, tabs or line ends."
            )
        pairs = zip(names, cells, strict=True)
        record = {name: cell or None for name, cell in pairs}
        yield from _documents(record, where, f"{path}:{number}", reading)


def read_parquet(path: Location, reading: Reading) -> Iterator[Document]:
    """Yields one document per row; reads the text column and, where they
    exist, `source`, `license` and `language`; of files that `write_parquet`
    wrote the metadata, too.
    """
    pyarrow = pyarrow_for(path)
    # A path pyarrow opens itself: it reads faster than from a Python file.
    here = isinstance(path, Path)
    try:
        with (
            nullcontext(path) if here else open_bytes(path) as place,
            pyarrow.parquet.ParquetFile(place) as file,
        ):
            names = file.schema_arrow.names
            columns = [reading.text_field, *(f for f in FIELDS if f in names)]
            if reading.text_field not in names:
                raise InputError(_no_field(reading.text_field, names, path))
            if PARQUET_MARK in (file.schema_arrow.metadata or {}):
                columns.append("metadata")
            batches = file.iter_batches(batch_size=1024, columns=columns)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from _rows(rows, path, reading)
    except pyarrow.ArrowInvalid as error:
        raise InputError(
            f"Expected a Parquet file. Received: {path}, which cannot be read "
            f"({error}). Write the file again."
        ) from error


def _cells(path: Location, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Yields line number and cells of each row that is not blank."""
    lines = text_lines(path, reading.encoding, reading.errors)
    delimiter = "\t" if suffix_of(path) == ".tsv" else ","
    reader = csv.reader(
        (line for _, line in lines), strict=True, delimiter=delimiter
    )
    first = 1
    try:
        while True:
            # The limit is one for the whole program: it is raised for one
            # row, and never while the caller works.
            before = csv.field_size_limit(LONGEST_CELL)
            try:
                cells = next(reader, None)
            finally:
                csv.field_size_limit(before)
            if cells is None:
                return
            if cells:
                yield first, cells
            first = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"Expected {suffix_of(path)[1:].upper()}. Received: {path}, line "
            f'{first}: {error}. Put quotes around a text with " in it, and '
            'write that " twice.'
        ) from error


def _rows(
    rows: Iterable[dict[str, Any]], path: Location, reading: Reading
) -> Iterator[Document]:
    """Yields the documents of Parquet rows."""
    for number, row in enumerate(rows, start=1):
        name = f"{path}:{number}"
        row = {
            key: value
            for key, value in row.items()
            if key not in FIELDS or value is not None
        }
        if "metadata" in row:
            row["metadata"] = json.loads(row["metadata"] or "{}")
        yield from _documents(row, name, name, reading)


def _documents(
    record: dict[str, Any], where: str, source: str, reading: Reading
) -> Iterator[Document]:
    """Yields the document of one record; counts it where the text is null."""
    text_field = reading.text_field
    record = dict(record)
    if text_field not in record:
        raise InputError(_no_field(text_field, list(record), where))
    text = record.pop(text_field)
    if text is None:
        reading.counts.drop(source, "null text")
        return
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
    yield Document(
        whole(text), known.pop("source", source), **known, metadata=metadata
    )


def _no_field(
    text_field: str, names: list[str], where: str | os.PathLike | Location
) -> str:
    """Says which fields there are."""
    return (
        f"Expected a field {text_field!r} with the text. Received: {where} "
        f"has the fields {names}. Name the right one with text_field=..."
    )
