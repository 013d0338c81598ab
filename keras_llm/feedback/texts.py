"""Files of texts to label or to compare with, one on each line."""

import json
import os
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

JSON_LINES = (".jsonl", ".ndjson")


def read_texts(
    path: str | os.PathLike, field: str = "text"
) -> list[dict[str, Any]]:
    """Reads texts: JSON lines with a field of that name, or plain lines.

    Args:
        path: `.jsonl` or `.ndjson` for JSON lines; all else is UTF-8 text, of
            which each line that is not empty is one.
        field: The field that holds the text.

    Returns:
        A dictionary for each text, the first of equal ones only; those of
        plain lines have `field` alone.

    Raises:
        InputError: The file is missing, not UTF-8 or without a text, or a
            line is no JSON object with that field (with its number).

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "texts.txt"
    >>> _ = file.write_text("Free entry\\n\\nOk lar\\n")
    >>> read_texts(file)
    [{'text': 'Free entry'}, {'text': 'Ok lar'}]
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a UTF-8 file of texts. Received: {path}, which cannot "
            f"be read ({error})."
        ) from error
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            one = _one(path, number, line.rstrip("\r"), field)
            found.setdefault(one[field], one)
    if not found:
        raise InputError(
            f"Expected one text on each line. Received: {path}, which has none."
        )
    return list(found.values())


def _one(path: Path, number: int, line: str, field: str) -> dict[str, Any]:
    if path.suffix.lower() not in JSON_LINES:
        return {field: line}
    try:
        one = json.loads(line)
    except ValueError as error:
        raise _wrong(path, number, field, f"no JSON ({error})") from error
    text = one.get(field) if isinstance(one, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise _wrong(path, number, field, f"{line:.60}")
    return one


def _wrong(path: Path, number: int, field: str, found: str) -> InputError:
    return InputError(
        f"Expected a JSON object with a text in {field!r}. Received in {path}, "
        f"line {number}: {found}. Correct the line, or remove it."
    )
