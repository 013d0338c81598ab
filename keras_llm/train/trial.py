"""XLA on or off, by a short trial on the real model and batches.

On a CPU in bfloat16 XLA makes a step slower, on a GPU mostly faster, and how
much depends on the model: a few steps each way say it.
"""

from typing import Any

import keras
from rich.console import Console

from keras_llm.train.folder import PLAN, Plan
from keras_llm.train.plan import measured_step

SECONDS = 5.0  # of steps, each way, after the one that compiles


def choose_jit(trainer: Any, batches: Any) -> bool:
    """Returns whether steps are faster with XLA, and prints both times.

    Every variable has its value again afterwards: weights, optimizer,
    dropout's seeds. The trainer is left compiled the way that was chosen.
    JAX always compiles, without a trial.

    Args:
        trainer: A compiled `TokenTrainer` with a built optimizer.
        batches: The endless batches of the run.

    Example:

    >>> import numpy as np, tensorflow as tf
    >>> from keras_llm.train import TokenTrainer
    >>> decoder = keras.Sequential(
    ...     [keras.Input((None,)), keras.layers.Embedding(8, 8)])
    >>> trainer = TokenTrainer(decoder)
    >>> trainer.compile("sgd")
    >>> data = tf.data.Dataset.from_tensors((tf.zeros((2, 4), tf.int32),) * 2)
    >>> choose_jit(trainer, data.repeat()) in (True, False)
    True
    """
    if keras.backend.backend() == "jax":
        return True
    off = _seconds(trainer, batches, False)
    on = _seconds(trainer, batches, True)
    # Processes that trained one model must choose the same: the chief's.
    off, on = trainer.distribution.gather([off, on])[0]
    chosen = on < off
    _compile(trainer, chosen)
    _say(f"XLA {'on' if chosen else 'off'}: {_text(on)} with, {_text(off)}.")
    return chosen


def _seconds(trainer: Any, batches: Any, jit: bool) -> float:
    """Seconds of a step; infinite where XLA lacks an operation."""
    import tensorflow as tf

    _compile(trainer, jit)
    try:
        return measured_step(trainer, batches, SECONDS)
    except tf.errors.OpError as error:
        if not jit:
            raise
        _say(f"XLA does not compile this step: {str(error).splitlines()[0]}")
        return float("inf")


def _compile(trainer: Any, jit: bool) -> None:
    trainer.compile(
        trainer.optimizer,
        jit_compile=jit,
        steps_per_execution=trainer.steps_per_execution,
    )


def _text(seconds: float) -> str:
    return f"{1000 * seconds:.4g} ms a step"


def _say(text: str) -> None:
    Console(stderr=True, highlight=False).print(text, markup=False)


class JitTrial:
    """The part of `Training` that decides about XLA.

    Example:

    >>> hasattr(JitTrial, "decide_jit")
    True
    """

    jit: Any  # True, False, or None for the default of the backend

    def known_jit(self: Any) -> Any:
        """Returns the setting, or what an earlier process has chosen."""
        chosen = self.settings.jit
        if chosen != "auto":
            return chosen
        if self.out is not None and (self.out / PLAN).exists():
            return Plan.load(self.out / PLAN).jit
        return None

    def decide_jit(self: Any, trainer: Any, batches: Any) -> None:
        """Makes the trial, once a run: losses differ in the last digits."""
        if self.settings.jit != "auto" or self.jit is not None:
            return
        self.jit = choose_jit(trainer, batches)
