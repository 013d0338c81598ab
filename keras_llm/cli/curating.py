"""`keras-llm curate` at work: who does it, how far it is, how fast it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_llm.errors import InputError
from keras_llm.files import read_json

STATUS = "status"
MEGA = 1e6


def sources_of(
    paths: list[str] | None,
    standard_library: bool,
    text_field: str,
    encoding: str,
    bad_bytes: str,
) -> Any:
    """Returns the documents of the paths or of the standard library."""
    from keras_llm import data

    if bool(paths) == standard_library:
        raise InputError(
            "Expected either files and folders with text or "
            f"--standard-library. Received: {'both' if paths else 'neither'}. "
            "Name what the corpus is to be made of."
        )
    if standard_library:
        return data.standard_library()
    return data.read_documents(
        *paths or (), text_field=text_field, encoding=encoding, errors=bad_bytes
    )


def corpus_facts(done: Any) -> dict[str, Any]:
    """Says what came in, what was dropped and why, and what is left."""
    facts: dict[str, Any] = {}
    for counts in done.steps:
        facts.update({f"changed: {k}": n for k, n in counts.changed.items()})
        facts.update({f"dropped: {k}": n for k, n in counts.dropped.items()})
        facts.update({f"found: {k}": n for k, n in counts.found.items()})
    for name, side in (("train", done.train), ("held out", done.heldout)):
        if side:
            facts[f"{name} documents"] = side.documents
            facts[f"{name} bytes"] = side.bytes
    return facts


def engine_of(
    documents: Any,
    engine: str | None,
    workers: int | None,
    scheduler: str | None,
) -> str:
    """Returns the engine asked for; else this process for less than a shard.

    Example:

    >>> engine_of([], None, None, None), engine_of([], None, 2, None)
    ('inline', 'local')
    """
    from keras_llm.data.sharded.curating import SHARD_BYTES
    from keras_llm.data.sharded.plan import files_of, size_of

    if engine or workers or scheduler:
        return engine or "local"
    size = sum(size_of(file, SHARD_BYTES) for file in files_of(documents))
    return "local" if size >= SHARD_BYTES else "inline"


def show_status(words: Sequence[str]) -> None:
    """Prints how far a curation is.

    Args:
        words: The work folder or the output; none: runs/corpus.
    """
    from keras_llm.data import curation_status

    if len(words) > 1:
        raise InputError(
            "Expected one folder after `status`. Received: "
            f"{' '.join(words)}. (A folder with texts that is called status "
            "is passed as ./status.)"
        )
    folder = words[0] if words else "runs/corpus"
    stages = curation_status(folder)
    table = _table("stage", f"Curation {folder}", "done", "retries", "MB/s")
    for stage in stages:
        speed = f"{stage.speed:.1f}" if stage.speed else ""
        done = f"{stage.done} of {stage.tasks}"
        table.add_row(stage.name, done, str(stage.retries), speed)
    console = Console()
    console.print(table)
    for stage in stages:
        for why in stage.failed:
            console.print(f"{stage.name}: {why}", soft_wrap=True, markup=False)


def show_speed(output: Path) -> None:
    """Prints the processor time of each step, and MB of text per second."""
    from keras_llm.data.sharded.curating import TIMINGS

    table = _table("step", "Processor time", "MB", "seconds", "MB/s")
    for stage in read_json(output / TIMINGS)["stages"]:
        for step in stage.get("steps", [{**stage, "step": stage["stage"][3:]}]):
            size, seconds = step["bytes"] / MEGA, step["cpu_seconds"]
            speed = f"{size / seconds:.1f}" if size and seconds else ""
            table.add_row(step["step"], f"{size:.1f}", f"{seconds:.1f}", speed)
    Console().print(table)


def _table(first: str, title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, style="cyan", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table
