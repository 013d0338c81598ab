"""The line that shows a run: a live one on terminals, plain ones in files."""

import time
from typing import Any, Self

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from keras_llm.closing import Closing
from keras_llm.train.measure import Run

PLAIN_EVERY = 10.0  # seconds between lines where nothing can be redrawn


class ProgressLine(Closing, keras.callbacks.Callback):
    """Shows step, loss, perplexity, learning rate, tokens/s and time left.

    On a terminal one line on standard error is redrawn; elsewhere (a file, a
    pipe) a plain line is written about every ten seconds and at the end. Use
    it as a context, so that the terminal is released whatever happens.

    Args:
        run: Where the run stands.
        console: Where to write. Default: standard error.

    Example:

    >>> with ProgressLine(Run(10)) as line:
    ...     line.run.total_steps
    10
    """

    def __init__(self, run: Run, console: Console | None = None):
        super().__init__()
        self.run = run
        self.console = console or Console(stderr=True)
        self._plain_at = time.monotonic() + PLAIN_EVERY
        self._pace: tuple[float, int] | None = None
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=4,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Starts drawing."""
        self._task = self._bar.add_task(
            "", total=self.run.total_steps, completed=self.run.step, numbers=""
        )
        self._bar.start()
        return self

    def close(self) -> None:
        """Leaves the last line standing."""
        self._bar.stop()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Moves the bar to the steps that are done."""
        if self._pace is None:
            self._pace = time.monotonic(), self.run.step - 1
        self._bar.update(self._task, completed=self.run.step - 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Shows the window's numbers."""
        numbers = describe(logs)
        self._bar.update(self._task, completed=logs["step"], numbers=numbers)
        due = time.monotonic() >= self._plain_at or self.run.finished
        if due and not self.console.is_terminal:
            self._plain_at = time.monotonic() + PLAIN_EVERY
            step = f"step {logs['step']}/{self.run.total_steps}"
            self.console.print(
                f"{step}  {numbers}  left {self._left()}",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )

    def _left(self) -> str:
        start, step = self._pace or (time.monotonic(), self.run.step)
        done = max(self.run.step - step, 1)
        todo = 0 if self.run.finished else self.run.total_steps - self.run.step
        seconds = round((time.monotonic() - start) / done * todo)
        return f"{seconds // 60}:{seconds % 60:02d}"


def describe(logs: dict[str, Any]) -> str:
    """Returns the numbers of a window in one line.

    Example:

    >>> describe({"loss": 2.0, "perplexity": 7.389, "learning_rate": 1e-3,
    ...     "tokens_per_second": 51234.5, "validation_loss": 2.1})
    'loss 2.000  ppl 7.39  lr 0.001  51,234 tok/s  validation 2.100'
    """
    speed = logs.get("tokens_per_second")
    parts = [
        f"loss {logs['loss']:.3f}",
        f"ppl {logs['perplexity']:.2f}" if "perplexity" in logs else "",
        f"lr {logs['learning_rate']:.3g}",
        f"{speed:,.0f} tok/s" if speed else "",
    ]
    if "validation_loss" in logs:
        parts.append(f"validation {logs['validation_loss']:.3f}")
    return "  ".join(part for part in parts if part)
