"""The folder of a run: its files, and what it was started with."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.records import Record

PLAN, REPORT, HISTORY = "train.json", "report.json", "metrics.jsonl"
SAMPLES, CHECKPOINTS, BOARD = "samples.jsonl", "checkpoints", "tensorboard"
BAD_BATCH = "bad_batch.json"
LOCK = ".lock"
# Settings that may change when a run is resumed: the losses stay the same.
FREE = {
    *("keep", "prefetch", "precision", "save_in_background", "strategy"),
    *("watch", "validate_every", "checkpoint_every", "sample_every"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """What a run folder was started with; `train.json`.

    Args:
        settings: The `TrainConfig` as a dictionary.
        planned_steps: Steps of the whole run, also where minutes were given.
        precision: What the model computes in.
        rows: Fingerprint of the rows, or None for a dataset.
        config: The decoder's config, or None for another model.
        jit: Whether XLA compiles the step; None for the backend's default.

    Example:

    >>> Plan(settings={}, planned_steps=5, precision="float32").rows is None
    True
    """

    settings: dict[str, Any]
    planned_steps: int
    precision: str
    rows: str | None = None
    config: dict[str, Any] | None = None
    jit: bool | None = None


def check_unchanged(folder: Path, saved: Plan, here: Plan) -> None:
    """Refuses to continue a run with other settings, naming each.

    Raises:
        InputError: A setting, the model, its precision or the rows changed.

    Example:

    >>> plan = Plan(settings={"seed": 1}, planned_steps=5, precision="float32")
    >>> check_unchanged(Path("run"), plan, plan)
    """
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for before, now in (
            (saved.settings, here.settings),
            (saved.config or {}, here.config or {}),
        )
        for name, value in now.items()
        if name not in FREE and before.get(name) != value
    ]
    if saved.precision != here.precision:
        changed.append(
            f"precision was {saved.precision} and is {here.precision}"
        )
    if saved.rows != here.rows:
        changed.append("the rows have another content")
    if changed:
        raise InputError(
            f"Expected the settings that {folder} was started with. "
            f"Received: {'; '.join(changed)}. Use the same settings to "
            "continue, or another folder to start anew."
        )


def config_of(model: Any) -> dict[str, Any] | None:
    """Returns a decoder's config as JSON would give it back, or None.

    Example:

    >>> config_of(object()) is None
    True
    """
    config = getattr(model, "config", None)
    if not isinstance(config, Record):
        return None
    return json.loads(json.dumps(config.to_dict()))


@contextlib.contextmanager
def only_process(folder: Path | None) -> Iterator[None]:
    """Holds a run's folder, so that no other process trains in it.

    The system gives it back when the process ends, also by a kill.

    Raises:
        InputError: Another process trains there.

    Example:

    >>> import tempfile
    >>> with only_process(Path(tempfile.mkdtemp())):
    ...     pass
    """
    if folder is None:
        yield
        return
    import fcntl  # not on every system

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Expected {folder} for this run alone. Received: another "
                "process trains there. Wait until it ends, or choose another "
                "folder."
            ) from error
        yield
