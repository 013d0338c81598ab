"""Rows of a benchmark's files, whatever their format, each a dictionary."""

import bz2
import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError, check_choice

_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PACKED = ("", *_OPEN)
Row = dict[str, Any]


def rows_of(paths: Sequence[Path], reader: str | None = None) -> list[Row]:
    """Returns the rows of files, one after the other.

    Args:
        paths: One format for all; .gz, .bz2 and .xz are unpacked.
        reader: A name of `READERS`. Default: by the ending of the name.

    Raises:
        InputError: There is no such reader, or a file is damaged, with the
            file and the line.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"question": "1 + 1?"}')
    >>> rows_of([path])
    [{'question': '1 + 1?'}]
    """
    reader = reader or _by_name(paths[0])
    check_choice("read_as", reader, tuple(READERS))
    return list(READERS[reader](paths))


def _by_name(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix not in _OPEN]
    ending = suffixes[-1].removeprefix(".").lower() if suffixes else ""
    if ending not in ENDINGS:
        raise InputError(
            f"Expected a file that ends in {', '.join(ENDINGS)} (also with "
            f"{', '.join(_OPEN)}). Received: {path}. Rename it, or say "
            "read_as in the task's metadata.files."
        )
    return ending


def _text_of(path: Path) -> str:
    """A whole file as text, unpacked."""
    try:
        with _OPEN.get(path.suffix, open)(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"Expected a whole file. Received: {path}, which cannot be read "
            f"({error}). Copy or download it again."
        ) from error
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"Expected UTF-8 text. Received: {path}, line {line}, which is "
            "something else. Save it as UTF-8."
        ) from error


def _lines_of(path: Path) -> list[str]:
    """Lines end at "\\n" only: a JSON text may hold other separators."""
    return _text_of(path).removesuffix("\n").split("\n")


def _jsonl(paths: Sequence[Path]) -> Iterator[Row]:
    for path in paths:
        for number, line in enumerate(_lines_of(path), start=1):
            if line.strip():
                yield _object(_parsed(line, path, number), path, number)


def _json(paths: Sequence[Path]) -> Iterator[Row]:
    """A list of rows, alone or under "data"; or lines of them."""
    for path in paths:
        text = _text_of(path).strip()
        if text.startswith("{") and "}\n{" in text:
            yield from _jsonl([path])
            continue
        found = _parsed(text, path, 1)
        if isinstance(found, dict):
            inner = found.get("data")
            found = inner if isinstance(inner, list) else [found]
        if not isinstance(found, list):
            raise InputError(
                f"Expected a list of objects in {path}. Received: "
                f"{found!r:.40}."
            )
        for number, row in enumerate(found, start=1):
            article = _object(row, path, number, "object")
            yield from _questions(article, path, number)


def _parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = line + error.lineno - 1
        raise InputError(
            f"Expected JSON. Received: {path}, line {place}, which is none "
            f"({error.msg}). Correct the line, or download the file again."
        ) from error


def _object(row: Any, path: Path, number: int, word: str = "line") -> Row:
    if not isinstance(row, dict):
        raise InputError(
            f"Expected values by name. Received: {path}, {word} {number}, "
            f"which is {row!r:.40}."
        )
    return row


def _questions(row: Row, path: Path, number: int) -> list[Row]:
    """The questions of one of SQuAD's articles; any other row as it is."""
    if "paragraphs" not in row:
        return [row]
    try:
        return [
            {
                "id": asked["id"],
                "title": row.get("title", ""),
                "context": paragraph["context"],
                "question": asked["question"],
                "answers": _columns(asked["answers"], "text", "answer_start"),
            }
            for paragraph in row["paragraphs"]
            for asked in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(
            "Expected paragraphs with context and qas, those with id, "
            f"question and answers, as in SQuAD. Received: {path}, article "
            f"{number}, without {error}. Download the file again."
        ) from error


def _columns(rows: list[Row], *names: str) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in names}


def _csv(paths: Sequence[Path], delimiter: str = ",") -> Iterator[Row]:
    for path in paths:
        text = io.StringIO(_text_of(path), newline="")
        rows = csv.DictReader(text, delimiter=delimiter, strict=True)
        names = rows.fieldnames or []
        try:
            for row in rows:
                if None in row or None in row.values():
                    raise csv.Error(f"not {len(names)} values")
                yield row
        except csv.Error as error:
            raise InputError(
                f"Expected the columns {', '.join(names)} in every row. "
                f"Received: {path}, line {rows.reader.line_num}: {error}. "
                "Correct the line."
            ) from error


def _tsv(paths: Sequence[Path]) -> Iterator[Row]:
    return _csv(paths, "\t")


def _parquet(paths: Sequence[Path]) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise InputError(
            f"Expected pyarrow to read {paths[0]}. Received: it is not "
            'installed. Do: pip install "keras_llm[data]"'
        ) from error
    for path in paths:
        try:
            yield from read_table(path).to_pylist()
        except pyarrow.ArrowInvalid as error:
            raise InputError(
                f"Expected a Parquet file. Received: {path}, which cannot be "
                f"read ({error}). Download it again."
            ) from error


def _text(paths: Sequence[Path]) -> Iterator[Row]:
    for path in paths:
        yield from ({"text": line} for line in _lines_of(path))


def _hellaswag(paths: Sequence[Path]) -> Iterator[Row]:
    """Six lines each: the context, the number of the right ending, four."""
    for path in paths:
        lines = _lines_of(path)
        for at in range(0, len(lines), 6):
            block = lines[at : at + 6]
            if len(block) < 6 or block[1] not in ("0", "1", "2", "3"):
                raise InputError(
                    "Expected a context, a number from 0 to 3 and four "
                    f"endings on six lines. Received: {path}, from line "
                    f"{at + 1} on, something else. Copy the file again."
                )
            query, gold, *choices = block
            yield {"query": query, "choices": choices, "gold": int(gold)}


def _wikitext(paths: Sequence[Path]) -> Iterator[Row]:
    """Pages of a WikiText file; a page begins at a line ` = Title = `.

    Source: the data set EleutherAI/wikitext_document_level.
    """
    for path in paths:
        page: list[str] = []
        for line in _text_of(path).split("\n"):
            mark = line.replace("= = =", "===").replace("= =", "==").strip()
            if mark.startswith("= ") and mark.endswith(" ="):
                if "".join(page).strip():
                    yield {"page": "\n".join(page)}
                page = []
            page.append(line)
        yield {"page": "\n".join(page)}


def _parallel(paths: Sequence[Path]) -> Iterator[Row]:
    """Line by line translations: one file a language, which ends its name."""
    if len(paths) < 2:
        raise InputError(
            "Expected one file for each language, whose names differ in their "
            f"endings. Received: {paths[0]} alone. Put the other beside it."
        )
    languages = {path.suffix[1:]: _lines_of(path) for path in paths}
    lengths = {name: len(lines) for name, lines in languages.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"Expected as many lines in each of {', '.join(map(str, paths))}. "
            f"Received: {lengths}. Copy the files again."
        )
    for lines in zip(*languages.values(), strict=True):
        yield {"translation": dict(zip(languages, lines, strict=True))}


ENDINGS = ("jsonl", "json", "csv", "tsv", "parquet")
READERS: dict[str, Callable[[Sequence[Path]], Iterator[Row]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
    "text": _text,
    "hellaswag": _hellaswag,
    "wikitext": _wikitext,
    "parallel": _parallel,
}
