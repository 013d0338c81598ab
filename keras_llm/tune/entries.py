"""Files of examples: JSON Lines or a JSON list, one object an example."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from keras_llm.data.document import whole
from keras_llm.data.reading.lines import json_lines, text_lines
from keras_llm.data.reading.opening import open_bytes
from keras_llm.errors import InputError

MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark


class Entry(NamedTuple):
    """One object of a file.

    Attributes:
        fields: Its fields.
        where: File and line, or item, as errors name them.
        number: The line or item, from 1.

    Example:

    >>> Entry({"text": "Hi"}, "a.jsonl, line 1", 1).text("text")
    'Hi'
    """

    fields: dict[str, Any]
    where: str
    number: int

    def text(self, name: str) -> str:
        """Returns the text of a field.

        Raises:
            InputError: The field is missing, no text, or blank.
        """
        if name not in self.fields:
            raise InputError(
                f"Expected a field {name!r} with text. Received: {self.where} "
                f"has {', '.join(self.fields) or 'no field'}. Add the field, "
                "or remove the example."
            )
        return checked_text(self.fields[name], f"field {name!r}", self.where)

    def optional(self, name: str) -> str:
        """Returns the text of a field that may be missing, null or blank.

        Raises:
            InputError: The field holds something else than text.
        """
        value = self.fields.get(name)
        if value is None or isinstance(value, str) and not value.strip():
            return ""
        return self.text(name)


def checked_text(value: Any, name: str, where: str) -> str:
    """Returns a text that is not blank; lone surrogates become U+FFFD.

    Raises:
        InputError: It is no text, or blank.

    Example:

    >>> checked_text("Hi", "field 'output'", "a.jsonl, line 1")
    'Hi'
    """
    if not isinstance(value, str):
        raise InputError(
            f"Expected text in {name}. Received: {type(value).__name__} "
            f"({value!r:.40}) in {where}. Write a string."
        )
    if not value.strip():
        raise InputError(
            f"Expected text in {name}. Received: an empty one in {where}. "
            "Fill it in, or remove the example."
        )
    return whole(value)


def read_entries(
    path: str | os.PathLike, encoding: str = "utf-8"
) -> Iterator[Entry]:
    """Yields the objects of a JSON Lines file or of a JSON list.

    A file that begins with "[" is a list and is read as a whole; any other
    is read line by line, whatever it is called. Either may be gzipped (.gz).

    Args:
        path: The file.
        encoding: Its encoding. Default: UTF-8, with or without a mark.

    Raises:
        InputError: The file is missing or empty; a line or item is no JSON
            object or cannot be decoded.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> _ = path.write_text('[{"text": "Hi"}]')
    >>> [(entry.fields, entry.number) for entry in read_entries(path)]
    [({'text': 'Hi'}, 1)]
    """
    path = checked_file(path)
    if _begins_as_list(path):
        unit, objects = "item", _list_of(path, encoding)
    else:
        unit, objects = "line", json_lines(path, encoding)
    return not_empty(
        (Entry(o, f"{path}, {unit} {n}", n) for n, o in objects), path
    )


def checked_file(path: str | os.PathLike) -> Path:
    """Returns the path of a file that is there.

    Raises:
        InputError: It is not.

    Example:

    >>> checked_file(os.devnull + "/missing.jsonl")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a file of examples. Received: ...
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "which does not exist"
        raise InputError(
            f"Expected a file of examples. Received: {path}, {found}. Check "
            f"the spelling and the folder you are in ({Path.cwd()})."
        )
    return path


def not_empty(entries: Iterable[Any], path: Path) -> Iterator[Any]:
    """Yields all entries of a file.

    Raises:
        InputError: There was none.

    Example:

    >>> list(not_empty([1], Path("a.jsonl")))
    [1]
    """
    entry = None
    for entry in entries:
        yield entry
    if entry is None:
        raise InputError(
            f"Expected at least one example in {path}. Received: an empty "
            "file. Was it written to the end?"
        )


def _begins_as_list(path: Path) -> bool:
    with open_bytes(path) as file:
        for line in file:
            if start := line.removeprefix(MARK).strip():
                return start.startswith(b"[")
    return False


def _list_of(path: Path, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields number and object of each item of a JSON list."""
    text = "".join(line for _, line in text_lines(path, encoding))
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"Expected a JSON list of objects. Received: {path}, line "
            f"{error.lineno} is not valid JSON ({error.msg}, column "
            f"{error.colno}). Repair the file, or write one object a line."
        ) from error
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise InputError(
                f"Expected a JSON list of objects. Received: {path}, item "
                f"{number} is {item!r:.40}. Write objects like "
                '{"text": "..."}.'
            )
        yield number, item
