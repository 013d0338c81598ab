"""The folder of a run: its files, and what it was started with."""

import dataclasses
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.records import Record

PLAN, REPORT, HISTORY = "train.json", "report.json", "metrics.jsonl"
SAMPLES, CHECKPOINTS, BOARD = "samples.jsonl", "checkpoints", "tensorboard"
# Settings that may change when a run is resumed: the losses stay the same.
FREE = {"keep", "precision"} | {
    f"{name}_every" for name in ("validate", "checkpoint", "sample")
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """What a run folder was started with; `train.json`.

    Args:
        settings: The `TrainConfig` as a dictionary.
        planned_steps: Steps of the whole run, also where minutes were given.
        precision: What the model computes in.
        rows: Fingerprint of the rows, or None for a dataset.

    Example:

    >>> Plan(settings={}, planned_steps=5, precision="float32").rows is None
    True
    """

    settings: dict[str, Any]
    planned_steps: int
    precision: str
    rows: str | None = None


def check_unchanged(folder: Path, saved: Plan, here: Plan) -> None:
    """Refuses to continue a run with other settings, naming each.

    Raises:
        InputError: A setting, the precision or the rows changed.

    Example:

    >>> plan = Plan(settings={"seed": 1}, planned_steps=5, precision="float32")
    >>> check_unchanged(Path("run"), plan, plan)
    """
    changed = [
        f"{name} was {saved.settings.get(name)!r} and is {value!r}"
        for name, value in here.settings.items()
        if name not in FREE and saved.settings.get(name) != value
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
