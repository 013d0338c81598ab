"""Memory, waiting and cost, beside the losses of a window."""

import time
from typing import Any

import keras

from keras_llm.train.cost import Cost
from keras_llm.train.data_wait import DataWait
from keras_llm.train.measure import Run
from keras_llm.train.speed import peak_memory


class Meters(keras.callbacks.Callback):
    """Adds what a run uses to the logs, for the callbacks after it.

    `memory`, the most bytes of this process, and `device_memory` of all its
    devices; `data_wait`, the share of the window in which the step waited
    for batches; `save_wait`, seconds that training has waited for
    checkpoints; `kwh`, `co2_kg` and `price` of the run so far.

    Args:
        run: Where the run stands; gets `kwh` and `cost`.
        cost: What it costs.
        data_wait: What times the batches, or None.

    Example:

    >>> from keras_llm.train.watch_config import WatchConfig
    >>> meters = Meters(Run(1), Cost(WatchConfig(), meters=[]))
    >>> meters.on_epoch_begin(0)
    >>> meters.on_epoch_end(0, logs := {})
    >>> sorted(logs)
    ['memory', 'save_wait']
    """

    def __init__(self, run: Run, cost: Cost, data_wait: DataWait | None = None):
        super().__init__()
        self.run, self.cost, self.data_wait = run, cost, data_wait

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers where the window began."""
        self._begin = time.perf_counter(), self._waited()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Completes the logs."""
        run, (begin, before) = self.run, self._begin
        logs |= {"memory": peak_memory(), "save_wait": run.save_seconds}
        on_devices = device_memory()
        if on_devices is not None:
            logs["device_memory"] = on_devices
        if self.data_wait is not None:
            seconds = time.perf_counter() - begin
            logs["data_wait"] = (self._waited() - before) / seconds
        costs = self.cost.so_far(run.seconds, wait=run.finished)
        run.kwh, run.cost = self.cost.kwh, costs | {"energy": self.cost.source}
        logs |= costs

    def _waited(self) -> float:
        return self.data_wait.seconds() if self.data_wait else 0.0


def device_memory() -> int | None:
    """Returns the most bytes in the memory of GPUs or TPUs; None without.

    Example:

    >>> device_memory() is None or device_memory() > 0
    True
    """
    if keras.backend.backend() == "jax":
        import jax

        stats = [device.memory_stats() for device in jax.local_devices()]
        peaks = [s["peak_bytes_in_use"] for s in stats if s]
    else:
        import tensorflow as tf

        info = tf.config.experimental.get_memory_info
        gpus = tf.config.list_logical_devices("GPU")
        peaks = [info(gpu.name.rsplit("/", 1)[-1])["peak"] for gpu in gpus]
    return sum(peaks) or None
