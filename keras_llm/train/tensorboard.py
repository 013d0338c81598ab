"""TensorBoard: the numbers Keras' own callback does not write."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import keras

from keras_llm.closing import Closing
from keras_llm.train.callbacks import Samples

TAGS = {
    "loss": "train/loss",
    "perplexity": "train/perplexity",
    "accuracy": "train/accuracy",
    "gradient_norm": "train/gradient_norm",
    "learning_rate": "train/learning_rate",
    "skipped_updates": "train/skipped_updates",
    "tokens_per_second": "speed/tokens_per_second",
    "mfu": "speed/mfu",
    "tokens": "train/tokens",
    "validation_loss": "validation/loss",
    "validation_perplexity": "validation/perplexity",
    "validation_accuracy": "validation/accuracy",
    "memory": "memory/process",
    "device_memory": "memory/device",
    "data_wait": "speed/data_wait",
    "save_wait": "speed/checkpoint_wait",
    "kwh": "cost/kwh",
    "co2_kg": "cost/co2_kg",
    "price": "cost/price",
}
COMPARED = ("validation/loss", "train/loss", "speed/tokens_per_second")


class TensorBoard(Closing, keras.callbacks.Callback):
    """Writes each window's numbers, samples and the settings as summaries.

    Scalars: see `TAGS`; text: `samples` and `settings`; the settings also as
    hyperparameters, to compare runs by. The step is the optimizer step. Use it
    as a context, so that the file is closed. Start with `tensorboard --logdir
    FOLDER`.

    Args:
        folder: Where the event files go.
        settings: Shown as text: config, settings, precision.
        step: The step the run starts at.
        samples: The callback that makes samples, which must come before.

    Example:

    >>> import tempfile
    >>> with TensorBoard(Path(tempfile.mkdtemp()), {"steps": 2}) as board:
    ...     board.on_epoch_end(0, {"step": 1, "loss": 2.0})
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        step: int = 0,
        samples: Samples | None = None,
    ):
        super().__init__()
        self.folder, self.settings = folder, settings
        self.step, self.samples = step, samples

    def __enter__(self) -> Self:
        """Opens the event file and writes the settings."""
        import tensorflow as tf
        from tensorboard.plugins.hparams import api

        self._writer = tf.summary.create_file_writer(str(self.folder))
        chosen = hyperparameters(self.settings)
        with self.at(self.step) as summary:
            text = json.dumps(self.settings, indent=2)
            summary.text("settings", f"```json\n{text}\n```")
            api.hparams_config(
                [api.HParam(name) for name in chosen],
                [api.Metric(tag) for tag in COMPARED],
            )
            api.hparams(chosen)
        return self

    @contextlib.contextmanager
    def at(self, step: int) -> Iterator[Any]:
        """Yields `tf.summary`, which writes to our file as of a step."""
        import tensorflow as tf

        with tf.device("CPU:0"), self._writer.as_default(step=step):
            yield tf.summary
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the window's numbers and, where there are, its samples."""
        with self.at(logs["step"]) as summary:
            for name, tag in TAGS.items():
                if logs.get(name) is not None:
                    summary.scalar(tag, logs[name])
            if self.samples is not None and self.samples.texts:
                summary.text("samples", self.samples.texts)


def hyperparameters(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the numbers and words of a run's plan by flat names.

    Args:
        settings: Has dictionaries `settings` and `config`, as `Plan` does;
            names from the config get `model.` before them.

    Example:

    >>> hyperparameters({"settings": {"steps": 5, "ema": None},
    ...     "config": {"num_layers": 2, "rope": {"theta": 1e4}}})
    {'steps': 5, 'model.num_layers': 2}
    """
    parts = (("", "settings"), ("model.", "config"))
    return {
        f"{prefix}{name}": value
        for prefix, part in parts
        for name, value in (settings.get(part) or {}).items()
        if isinstance(value, (bool, int, float, str))
    }
