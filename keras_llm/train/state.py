"""What checkpoints say about themselves, and which of them there are."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from keras_llm.records import Record

STATE = "state.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class State(Record):
    """What a checkpoint says beside its arrays.

    Args:
        step: Optimizer steps done.
        seeds: State of every dropout seed generator, in model order.
        files: SHA-256 of the other files.
        config: The decoder's config as a dictionary, if it has one.
        tokenizer: Fingerprint of the tokenizer of the rows, if known.
        tokens, seconds: Tokens trained on and time spent so far.
        skipped: Batches left out by going back: the next step takes the one
            of step + skipped.
        validation_loss: Nats per token, if it was measured at this step.
        metrics: Values of the metrics since the last line of the history,
            if the step is between two lines.
        kwh: Energy used so far, if it is known.

    Example:

    >>> State(step=3, seeds=[], files={}).step
    3
    """

    step: int
    seeds: list[list[int]]
    files: dict[str, str]
    config: dict[str, Any] | None = None
    tokenizer: str | None = None
    tokens: int = 0
    seconds: float = 0.0
    skipped: int = 0
    validation_loss: float | None = None
    metrics: list[Any] | None = None
    kwh: float | None = None


def checkpoints(folder: str | os.PathLike) -> list[Path]:
    """Returns the checkpoints in a folder, oldest first.

    Example:

    >>> checkpoints("no/such/folder")
    []
    """
    return sorted(Path(folder).glob("step-*"))


def latest(folder: str | os.PathLike) -> Path | None:
    """Returns the newest checkpoint in a folder, or None.

    Example:

    >>> latest("no/such/folder") is None
    True
    """
    return next(reversed(checkpoints(folder)), None)


def best(folder: str | os.PathLike) -> Path | None:
    """Returns the checkpoint with the lowest validation loss, or None.

    Example:

    >>> best("no/such/folder") is None
    True
    """
    found = [
        (loss, path)
        for path in checkpoints(folder)
        if (loss := read_state(path).validation_loss) is not None
    ]
    return min(found)[1] if found else None


def read_state(path: str | os.PathLike) -> State:
    """Returns what a checkpoint says, without loading its arrays.

    Raises:
        InputError: It is missing or damaged.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> State(step=3, seeds=[], files={}).save(folder / STATE)
    >>> read_state(folder).step
    3
    """
    return State.load(Path(path) / STATE)
