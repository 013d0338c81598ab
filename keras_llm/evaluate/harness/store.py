"""Answers of models kept on disk, so that nothing is asked twice."""

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.items import Request
from keras_llm.evaluate.subject import Continuation, Likelihood

_FILE = "answers.sqlite"
_OURS = 0x6B616E73  # SQLite's application_id
_PATIENCE_SECONDS = 60


class AnswerStore:
    """A file of answers by model and request.

    Several processes may use one file at once; what was put is on the disk.

    Args:
        path: The file, or a folder for it. None: in memory only.
        fingerprint: Of the model; other models' answers are not seen.

    Raises:
        InputError: The file is another program's, or damaged.
        OSError: It cannot be read or written.

    Example:

    >>> with AnswerStore(None, "model-1") as store:
    ...     store.put([("a text", -3.5)])
    ...     store.find(["a text", "another"])
    {'a text': -3.5}
    """

    def __init__(
        self, path: str | os.PathLike | None, fingerprint: str
    ) -> None:
        self._path = _file(path)
        self._fingerprint = fingerprint
        with self._sentences():
            self._connection = sqlite3.connect(
                self._path, timeout=_PATIENCE_SECONDS, isolation_level=None
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def find(self, requests: Iterable[Request]) -> dict[Request, Any]:
        """Returns the answers that are there, by request."""
        found = {}
        with self._sentences():
            for request in requests:
                row = self._connection.execute(
                    "SELECT answer FROM answers WHERE key = ?",
                    [self._key(request)],
                ).fetchone()
                if row is not None:
                    found[request] = _decoded(request, row[0])
        return found

    def put(self, answered: Iterable[tuple[Request, Any]]) -> None:
        """Writes answers: all of them, or none if the process is killed."""
        rows = [(self._key(r), json.dumps(answer)) for r, answer in answered]
        with self._sentences(), self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, ?)", rows
            )

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> "AnswerStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _key(self, request: Request) -> bytes:
        kind = type(request).__name__
        fields = [request] if isinstance(request, str) else list(request)
        text = json.dumps([self._fingerprint, kind, *fields])
        return hashlib.sha256(text.encode()).digest()

    def _prepare(self) -> None:
        with self._transaction():
            known = self._connection.execute("PRAGMA application_id").fetchone()
            tables = self._connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall()
            if tables and known != (_OURS,):
                raise InputError(
                    f"Expected a store of answers at {self._path}. Received: "
                    "another program's database. Name another file."
                )
            self._connection.execute(f"PRAGMA application_id = {_OURS}")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers "
                "(key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """SQLite's errors as sentences."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(
                f"Expected to read and write the store of answers "
                f"{self._path}. Received: {error}."
            ) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"Expected a store of answers at {self._path}. Received: "
                f"{error}. Remove the file to begin anew."
            ) from error


def _file(path: str | os.PathLike | None) -> str:
    if path is None:
        return ":memory:"
    path = Path(path)
    file = path / _FILE if path.is_dir() or not path.suffix else path
    file.parent.mkdir(parents=True, exist_ok=True)
    return str(file)


def _decoded(request: Request, text: str) -> Any:
    answer = json.loads(text)
    return Likelihood(*answer) if isinstance(request, Continuation) else answer
