"""Text files line by line, and JSON Lines."""

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any, cast

from keras_llm.data.reading.encodings import signed
from keras_llm.data.reading.opening import Location, open_bytes
from keras_llm.errors import InputError


def json_lines(
    path: Location, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields number and object of each line that is not blank; like
    `text_lines`, and a line that is no JSON object is an InputError too.
    """
    for number, line in text_lines(path, encoding, errors):
        if line.strip():
            yield number, _parse(line, f"{path}, line {number}")


def text_lines(
    path: Location, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[tuple[int, str]]:
    """Yields the number and the text of each line, with its line end.

    Args:
        path: A text file, which may be compressed (.gz, .zst).
        encoding: Its encoding. A byte order mark is left out.
        errors: "strict", or "replace" for U+FFFD in place of bad bytes.

    Raises:
        InputError: A line cannot be decoded; it is named.
    """
    number = 0
    with open_bytes(path) as file:
        try:
            for line in _decoded(file, encoding, errors):
                number += 1
                yield number, line
        except UnicodeDecodeError as error:
            raise InputError(
                f"Expected {encoding.upper()} text. Received: {path}, "
                f"line {number + 1}, byte {error.start} of the line cannot be "
                'decoded. Pass encoding="latin-1" (or the right one), or '
                'errors="replace".'
            ) from error


def _decoded(
    file: io.BufferedIOBase, encoding: str, errors: str
) -> Iterator[str]:
    """Yields decoded lines; where LF is more than one byte, by a wrapper."""
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        with io.TextIOWrapper(
            cast(io.BufferedReader, file), encoding, errors, newline="\n"
        ) as lines:
            yield from lines
    else:
        encoding = signed(encoding)
        for line in file:
            yield line.decode(encoding, errors)


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
