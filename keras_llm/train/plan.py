"""How many steps fit into the minutes: measured, then undone."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_llm.errors import InputError
from keras_llm.train.whole import whole_value

SHARE = 0.02  # of the time to measure for
FILL = 0.95  # of the time to plan for; the rest is noise
MOST = 64  # steps to measure at most


class _StepTimes(keras.callbacks.Callback):
    """Keeps when each step began."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds, self.begins = seconds, []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.begins.append(time.perf_counter())
        # The time of the first step is that of compiling.
        if len(self.begins) > 2:
            late = self.begins[-1] - self.begins[1] >= self.seconds
            self.model.stop_training = self.model.distribution.any(late)


def plan_steps(
    trainer: keras.Model,
    batches: Any,
    seconds: float,
    chores: Sequence[tuple[Callable[[], Any], int]] = (),
) -> int:
    """Returns how many steps, with what comes between, take `seconds`.

    Trains a few steps for the measurement and puts every variable back, so
    that a run starts as if nothing had happened; the compiled step is kept.
    The time this takes is taken off.

    Args:
        trainer: A compiled `TokenTrainer` with a built optimizer.
        batches: The endless batches of the run.
        seconds: Time for measuring and the whole run.
        chores: What a run does every so many steps, and how many: validate,
            save, sample. Each is done twice, because the first may compile.

    Returns:
        Steps, at least 1; a multiple of the trainer's steps_per_execution.

    Raises:
        InputError: The time is over before the first step.
    """
    start = time.perf_counter()
    step = measured_step(trainer, batches, seconds * SHARE)
    step += sum(min(_timed(work), _timed(work)) / n for work, n in chores)
    left = seconds - (time.perf_counter() - start)
    if left <= 0:
        raise InputError(
            "Expected time for more than compiling and measuring the step. "
            f"Received: {max(seconds, 0):.1f} seconds after loading. Allow "
            "more minutes, or train a smaller model."
        )
    each = trainer.steps_per_execution
    return max(1, int(left * FILL / step / each)) * each


def measured_step(trainer: Any, batches: Any, seconds: float) -> float:
    """Returns the seconds of a step, after the first one, which compiles.

    Afterwards every variable has its value again, also if it fails.

    Args:
        trainer: A compiled `TokenTrainer` with a built optimizer.
        batches: The endless batches of the run.
        seconds: How long to measure; at least two, at most 64 executions.

    Example: see `choose_jit`.
    """
    times = _StepTimes(seconds)
    each = trainer.steps_per_execution
    variables = [*trainer.variables, *trainer.optimizer.variables]
    before = [np.array(whole_value(v)) for v in variables]
    try:
        trainer.fit(
            batches,
            steps_per_epoch=MOST * each,
            callbacks=[times],
            shuffle=False,
            verbose=0,
        )
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
    return float(np.median(np.diff(times.begins)[1:])) / each


def _timed(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
