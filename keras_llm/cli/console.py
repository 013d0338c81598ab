"""What every verb shares: an output folder, a table, a quiet TensorFlow."""

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_llm.errors import InputError

# Notes that TensorFlow's libraries print at start whatever the log level is:
# their own log is not set up yet (seen with TensorFlow 2.21 without a GPU).
_START_NOTES = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} .*(port|cudart_stub|cuda_platform|cpu_feature_guard)\.cc:"
)


def check_output(path: Path, force: bool = False) -> None:
    """Refuses an output folder that would be overwritten by accident.

    Args:
        path: The output folder; it may be missing or empty.
        force: Whether an earlier result there may be replaced. (The library
            still refuses a folder that holds something else.)

    Raises:
        InputError: It is a file, or it holds something and `force` is off.
    """
    if path.exists() and not path.is_dir():
        raise InputError(
            f"Expected a folder to write to. Received: {path}, which is a "
            "file. Name another folder with --output."
        )
    if path.is_dir() and not force and any(path.iterdir()):
        raise InputError(
            f"Expected a new or empty folder. Received: {path}, which holds "
            f"{len(list(path.iterdir()))} entries. Name another folder with "
            "--output, or replace this result with --force."
        )


def report(title: str, facts: Mapping[str, Any], *next_commands: str) -> None:
    """Prints a two-column table and the commands worth running next.

    Args:
        title: What was done, for example "Packed 12 documents".
        facts: Name to value. Whole numbers get thousands separators.
        *next_commands: Whole lines (see `command`), most useful first.
    """
    console = Console()
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, shown(value))
    console.print(table)
    if next_commands:
        console.print("Next:", style="bold")
    for line in next_commands:
        console.print(f"  {line}", soft_wrap=True, highlight=False)


def shown(value: Any) -> str:
    """Returns a value as a table shows it.

    Example:

    >>> shown(12345), shown(True), shown(None)
    ('12,345', 'yes', '')
    """
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def command(*words: object) -> str:
    """Returns `keras-llm` and its words as a line to paste into a shell.

    Example:

    >>> command("tokenize", "my corpus")
    "keras-llm tokenize 'my corpus'"
    """
    return shlex.join(["keras-llm", *map(str, words)])


def start_tensorflow() -> None:
    """Imports TensorFlow without the notes its libraries print at start.

    They go to the file descriptor of standard error past Python and past
    `TF_CPP_MIN_LOG_LEVEL`. Known notes are dropped; any other line is shown.
    """
    with _without_start_notes():
        import tensorflow as tf

        tf.config.list_physical_devices()  # prints when there is no GPU


@contextlib.contextmanager
def _without_start_notes() -> Iterator[None]:
    """Holds standard error back, then shows all lines but the known notes."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not _START_NOTES.match(line):
                    os.write(2, line)
