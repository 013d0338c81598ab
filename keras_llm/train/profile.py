"""The profiler of TensorFlow or JAX for a few chosen steps."""

from pathlib import Path
from typing import Any

import keras

from keras_llm.closing import Closing
from keras_llm.train.measure import Run


class Profile(Closing, keras.callbacks.Callback):
    """Profiles some steps, for TensorBoard's profile plugin.

    What it writes is under `plugins/profile` of the folder. Comes after
    `Measure`; use it as a context, so that the profiler stops.

    Args:
        run: Where the run stands.
        folder: TensorBoard's.
        first, last: Steps, counted from 1. Of a resumed run those that it
            still does.

    Example:

    >>> with Profile(Run(10), Path("tensorboard"), 2, 3) as profile:
    ...     profile.running
    False
    """

    def __init__(self, run: Run, folder: Path, first: int, last: int):
        super().__init__()
        self.run, self.folder = run, folder
        self.first, self.last = first, last
        self.running = False
        self._step: Any = None

    def close(self) -> None:
        """Stops the profiler if it runs."""
        self._stop()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts, marks steps, and stops."""
        wanted = self.first <= self.run.step <= self.last
        if not wanted:
            return self._stop()
        if not self.running:
            self._start()
        self._mark_end()
        self._step = self._mark(self.run.step)
        self._step.__enter__()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops after the last step that was wanted."""
        self._mark_end()
        if self.run.step >= self.last or self.run.finished:
            self._stop()

    def _start(self) -> None:
        self.running = True
        if keras.backend.backend() == "jax":
            import jax

            jax.profiler.start_trace(str(self.folder))
            return
        import tensorflow as tf

        tf.profiler.experimental.start(str(self.folder))

    def _mark(self, step: int) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            return jax.profiler.StepTraceAnnotation("train", step_num=step)
        import tensorflow as tf

        return tf.profiler.experimental.Trace("train", step_num=step, _r=1)

    def _mark_end(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            step.__exit__(None, None, None)

    def _stop(self) -> None:
        if not self.running:
            return
        self.running = False
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        # Waits for the device: what it still does belongs to these steps.
        keras.ops.convert_to_numpy(self.model.token_metrics.sums["tokens"])
        self._mark_end()
        if keras.backend.backend() == "jax":
            import jax

            return jax.profiler.stop_trace()
        import tensorflow as tf

        tf.profiler.experimental.stop()
