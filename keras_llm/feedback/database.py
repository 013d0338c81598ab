"""The SQLite file of a feedback store: how it is opened, and its tables."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from keras_llm.errors import InputError

APPLICATION = 0x4B4C4642  # in the file's header: "KLFB"
PATIENCE_SECONDS = 30.0  # for another process that writes

# Each entry brings a file from the version of its place to the next one.
# What stands here is never changed: another version is another entry.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE answers (
            id TEXT PRIMARY KEY,
            created TEXT NOT NULL,
            prompt TEXT NOT NULL,
            answer TEXT NOT NULL,
            model TEXT NOT NULL,
            adapter TEXT NOT NULL,
            settings TEXT NOT NULL
        )""",
        """CREATE TABLE ratings (
            id INTEGER PRIMARY KEY,
            created TEXT NOT NULL,
            answer_id TEXT NOT NULL REFERENCES answers(id),
            rating INTEGER NOT NULL CHECK (rating IN (-1, 1)),
            comment TEXT NOT NULL
        )""",
        """CREATE TABLE corrections (
            id INTEGER PRIMARY KEY,
            created TEXT NOT NULL,
            answer_id TEXT NOT NULL REFERENCES answers(id),
            correction TEXT NOT NULL
        )""",
        """CREATE TABLE choices (
            id INTEGER PRIMARY KEY,
            created TEXT NOT NULL,
            chosen_id TEXT NOT NULL REFERENCES answers(id),
            rejected_id TEXT NOT NULL REFERENCES answers(id)
        )""",
        "CREATE INDEX ratings_of ON ratings (answer_id)",
        "CREATE INDEX corrections_of ON corrections (answer_id)",
        "CREATE INDEX answers_to ON answers (prompt)",
    ),
    (
        """CREATE TABLE ties (
            id INTEGER PRIMARY KEY,
            created TEXT NOT NULL,
            first_id TEXT NOT NULL REFERENCES answers(id),
            second_id TEXT NOT NULL REFERENCES answers(id)
        )""",
        """CREATE TABLE labels (
            id INTEGER PRIMARY KEY,
            created TEXT NOT NULL,
            text TEXT NOT NULL,
            label TEXT NOT NULL,
            annotator TEXT NOT NULL,
            source TEXT NOT NULL
        )""",
        "CREATE INDEX choices_of ON choices (chosen_id, rejected_id)",
        "CREATE INDEX ties_of ON ties (first_id, second_id)",
        "CREATE INDEX labels_of ON labels (text)",
    ),
)


def connect(path: str | os.PathLike) -> sqlite3.Connection:
    """Opens a store's file, or makes it, and brings its tables up to date.

    A write is on the disk before it is acknowledged (write-ahead log,
    `synchronous=FULL`), and waits for other writers.

    Raises:
        InputError: The file is damaged, another program's, or written by a
            newer version of this library.
        OSError: The file cannot be opened or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sentences(path):
        connection = sqlite3.connect(
            path,
            timeout=PATIENCE_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is written, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def sentences(path: Path) -> Iterator[None]:
    """SQLite's errors as sentences: a damaged file, or a disk in the way."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(
            f"Expected to read and write the feedback store {path}. "
            f"Received: {error}."
        ) from error
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _damaged(path, found)
    _check_ours(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection):  # another process may be at it
        for statements in MIGRATIONS[_version(connection, path) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute(
        "SELECT count(*) FROM sqlite_master"
    ).fetchone()
    if owner != APPLICATION and tables:
        raise InputError(
            "Expected a feedback store of keras_llm, or a new file. "
            f"Received: {path}, a database of another program. Choose "
            "another path."
        )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise InputError(
            f"Expected a feedback store of version {len(MIGRATIONS)} or "
            f"older. Received: version {version} in {path}. Update keras_llm: "
            "a newer one wrote it."
        )
    return version


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"Expected a feedback store in {path}. Received: a damaged file or "
        f"no database ({reason}). Bring back a copy, or choose another path."
    )
