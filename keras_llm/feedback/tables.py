"""What every part of the feedback store shares: its file, read and written."""

import datetime
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.closing import Closing
from keras_llm.errors import InputError
from keras_llm.feedback.database import connect, sentences, transaction
from keras_llm.files import atomic_path


class Tables(Closing):
    """The tables of one SQLite file, for threads and processes to share.

    Its arguments and errors are those of `FeedbackStore`.

    Example:

    >>> import tempfile
    >>> with Tables(tempfile.mkdtemp() + "/feedback.sqlite") as tables:
    ...     list(tables._rows("SELECT count(*) FROM answers"))
    [(0,)]
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._connection = connect(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, *values: Any) -> Iterator[tuple]:
        with self._lock, sentences(self.path):
            found = self._connection.execute(query, values).fetchall()
        return iter(found)

    def _count(self, table: str) -> int:
        return next(self._rows(f"SELECT count(*) FROM {table}"))[0]

    def _write(self, statement: str, *rows: tuple) -> None:
        with (
            self._lock,
            sentences(self.path),
            transaction(self._connection),
        ):
            try:
                self._connection.executemany(statement, rows)
            except sqlite3.IntegrityError as error:
                raise unknown(rows[0][1]) from error


def write_lines(path: str | os.PathLike, lines: Iterable[Any]) -> int:
    """Writes values as JSON lines, whole or not at all; returns how many.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.jsonl"
    >>> write_lines(path, [{"text": "Free entry", "label": "spam"}])
    1
    >>> path.read_text()
    '{"text": "Free entry", "label": "spam"}\\n'
    """
    count = 0
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8") as file,
    ):
        for line in lines:
            file.write(as_json(line) + "\n")
            count += 1
    return count


def unknown(answer_id: str) -> InputError:
    """Returns the error for an id that no answer has.

    Example:

    >>> print(unknown("9"))
    Expected the id of an answer in the store. Received: '9'.
    """
    return InputError(
        f"Expected the id of an answer in the store. Received: {answer_id!r}."
    )


def now() -> str:
    """Returns the time as the store writes it: ISO 8601 in UTC.

    Example:

    >>> now().endswith("+00:00")
    True
    """
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def as_json(value: Any) -> str:
    """Returns a value as JSON that people can read.

    Example:

    >>> as_json({"text": "Grüß Gott"})
    '{"text": "Grüß Gott"}'
    """
    return json.dumps(value, ensure_ascii=False)
