"""Tables of texts and labels: CSV, and TSV without quotes."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_llm.data.reading.lines import text_lines
from keras_llm.errors import InputError
from keras_llm.tune.entries import Entry, checked_file, not_empty

TABLES = (".csv", ".tsv", ".txt")
NAMES = ("text", "label")
LONGEST = 1 << 24  # characters of a CSV field; the module stops at 2 ** 17


class _Line(NamedTuple):
    number: int
    cells: list[str]


def kind_of_table(path: Path) -> str:
    """Returns the suffix of a path, ".gz" looked through.

    Example:

    >>> kind_of_table(Path("a/B.CSV.gz"))
    '.csv'
    """
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_table(
    path: str | os.PathLike,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Iterator[Entry]:
    r"""Yields the rows of a table with the names of their columns.

    Args:
        path: A CSV file, or any other: tabs between columns, no quotes.
        columns: The names; a first line that has one of them in its place is
            left out. Default: those in the first line, where "text" and
            "label" are among them; of two columns without names the one with
            fewer different values is the "label".
        encoding: The file's encoding.

    Raises:
        InputError: The file is missing or empty, a row is wider or narrower
            than the first, or it is unclear what the columns are.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text('text,label\n"Hi, you",ham\n')
    >>> [entry.fields for entry in read_table(path)]
    [{'text': 'Hi, you', 'label': 'ham'}]
    """
    path = checked_file(path)
    read = _csv if kind_of_table(path) == ".csv" else _tsv
    lines = [line for line in read(path, encoding) if any(line.cells)]
    if not lines:
        return not_empty((), path)
    if columns is None:
        names, lines = _named(lines, path)
    else:
        names, lines = list(columns), _without_names(lines, columns)
    return not_empty(_entries(lines, names, path), path)


def _entries(
    lines: list[_Line], names: list[str], path: Path
) -> Iterator[Entry]:
    for number, cells in lines:
        where = f"{path}, line {number}"
        if len(cells) != len(names):
            raise InputError(
                f"Expected {len(names)} columns ({', '.join(names)}). "
                f"Received: {len(cells)} in {where}. Quote texts with commas "
                "(CSV), take tabs out of texts (TSV), or name the columns "
                'with columns=("text", "label").'
            )
        yield Entry(dict(zip(names, cells, strict=True)), where, number)


def _named(lines: list[_Line], path: Path) -> tuple[list[str], list[_Line]]:
    """Returns the names of the columns, and the lines without them."""
    names = [cell.strip().lower() for cell in lines[0].cells]
    if {*NAMES} <= {*names}:
        return names, lines[1:]
    width = len(names)
    different = [
        len({line.cells[i] for line in lines if len(line.cells) == width})
        for i in range(width)
    ]
    if {*NAMES} & {*names} or width != 2 or different[0] == different[1]:
        raise InputError(
            "Expected the names text and label in the first line, or two "
            "columns without names of which one has few different values. "
            f"Received: {path}, whose first line has {width} columns: "
            f"{', '.join(names):.120}. Pass the names, for example "
            'columns=("text", "label").'
        )
    return [*(NAMES[::-1] if different[0] < different[1] else NAMES)], lines


def _without_names(lines: list[_Line], columns: Sequence[str]) -> list[_Line]:
    """Leaves the first line out where it has one of the names in place."""
    pairs = zip(lines[0].cells, columns, strict=False)
    has = any(cell.strip().lower() == name for cell, name in pairs)
    return lines[1:] if has else lines


def _tsv(path: Path, encoding: str) -> Iterator[_Line]:
    for number, line in text_lines(path, encoding):
        yield _Line(number, line.rstrip("\r\n").split("\t"))


def _csv(path: Path, encoding: str) -> Iterator[_Line]:
    before = csv.field_size_limit(LONGEST)
    reader = csv.reader(
        (line for _, line in text_lines(path, encoding)), strict=True
    )
    first = 1
    try:
        for cells in reader:
            yield _Line(first, cells)
            first = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"Expected CSV. Received: {path}, line {first}: {error}. Put "
            'quotes around a text with commas, and write " in it twice.'
        ) from error
    finally:
        csv.field_size_limit(before)
