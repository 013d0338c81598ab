"""What is done about spikes and NaN at the end of a window of steps."""

import json
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_llm.errors import InputError
from keras_llm.files import write_text
from keras_llm.train.guards import Guard, guard_of
from keras_llm.train.measure import Run

_log = logging.getLogger(__name__)


class Spike(Exception):
    """Says to `fit` that the run goes back to its last checkpoint.

    Example:

    >>> issubclass(Spike, Exception)
    True
    """


class WatchGuard(keras.callbacks.Callback):
    """Notes the updates that the guard left out, or goes back.

    Adds `skipped_updates`, all so far, to the logs, and a line to the log of
    this module. Comes after `Measure`.

    Args:
        run: Where the run stands.
        go_back: Whether to raise `Spike` instead of going on.

    Raises:
        Spike: In `on_epoch_end`, if the window had a spike and `go_back`.
        InputError: No step of the window was finite.

    Example:

    >>> WatchGuard(Run(10), go_back=True).go_back
    True
    """

    def __init__(self, run: Run, go_back: bool = False):
        super().__init__()
        self.run, self.go_back = run, go_back

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers where the window began."""
        self._step, self._tokens = self.run.step, self.run.tokens
        self._skipped = self._guard.skipped

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at what was left out since."""
        skipped = self._guard.skipped
        logs["skipped_updates"] = skipped
        new, steps = skipped - self._skipped, self.run.step - self._step
        if not new:
            return
        if self.run.tokens == self._tokens:
            raise InputError(
                "Expected a finite loss and gradient norm. Received: none in "
                f"{steps} steps up to step {self.run.step}. Train into "
                "another folder with a lower learning_rate."
            )
        what = "going back" if self.go_back else "left out"
        _log.warning(
            "Steps %d to %d: %d with a spike of the loss or the gradient "
            "norm, %s.",
            self._step + 1,
            self.run.step,
            new,
            what,
        )
        if self.go_back:
            raise Spike

    @property
    def _guard(self) -> Guard:
        return guard_of(self.model.optimizer)


class StopOnNan(keras.callbacks.Callback):
    """Ends the run when the loss or the gradient is no longer a number.

    Comes before the checkpoint is written, so the newest one is from before.

    Args:
        learning_rate: The peak, for the message.
        set_aside: Takes the step (from 0) whose batch was the first with
            such a loss, and returns the file it wrote about it, or None.

    Raises:
        InputError: In `on_epoch_end`; says at which step and what to change.

    Example:

    >>> StopOnNan(0.1).on_epoch_end(0, {"loss": 1.0, "gradient_norm": 2.0})
    """

    def __init__(
        self,
        learning_rate: float,
        set_aside: Callable[[int], Path | None] = lambda step: None,
    ):
        super().__init__()
        self.learning_rate, self.set_aside = learning_rate, set_aside

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the window's means."""
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(logs[name]):
                self._stop(name, logs)

    def _stop(self, name: str, logs: dict[str, Any]) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        first = guard_of(optimizer).first_bad
        file = None if first is None else self.set_aside(first)
        where = f" Its batch is in {file}." if file else ""
        raise InputError(
            f"Expected a finite {name.replace('_', ' ')}. Received: "
            f"{logs[name]} at step "
            f"{logs['step'] if first is None else first + 1}.{where} The last "
            "checkpoint is from before. Train into another folder with a "
            f"learning_rate below {self.learning_rate:g}, more warmup_steps "
            "or a smaller clip_norm."
        )


def write_batch(
    path: str | os.PathLike, step: int, batch: tuple, tokenizer: Any = None
) -> Path:
    """Writes a batch as JSON, to be looked at.

    Args:
        path: The file.
        step: Counted from 1.
        batch: `(inputs, targets, weights)` or `(inputs, targets)`.
        tokenizer: Decodes the rows; None leaves out their texts.

    Returns:
        The file.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "batch.json"
    >>> batch = {"tokens": np.array([[1, 2]])}, np.array([[2, 3]])
    >>> json.loads(write_batch(file, 7, batch).read_text())["rows"]
    [{'tokens': [1, 2], 'targets': [2, 3]}]
    """
    inputs, targets, *weights = batch
    columns = {**inputs, "targets": targets}
    if weights:
        columns["weights"] = weights[0]
    lists = {name: _lists(np.asarray(x)) for name, x in columns.items()}
    rows = [
        dict(zip(lists, values, strict=True))
        for values in zip(*lists.values(), strict=True)
    ]
    if tokenizer is not None:
        for row in rows:
            row["text"] = tokenizer.decode(row["tokens"])
    content = {"step": step, "rows": rows}
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")
    return Path(path)


def _lists(values: np.ndarray) -> list:
    """Nested lists as JSON has them: what is not finite becomes null."""
    if np.isfinite(values).all():
        return values.tolist()
    kept = values.astype(object)
    kept[~np.isfinite(values)] = None
    return kept.tolist()
