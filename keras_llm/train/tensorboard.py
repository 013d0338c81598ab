"""TensorBoard: the numbers Keras' own callback does not write."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keras

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
}


class TensorBoard(keras.callbacks.Callback):
    """Writes each window's numbers, samples and the settings as summaries.

    Scalars: see `TAGS`; text: `samples` and `settings`. The step is the
    optimizer step. Use it as a context, so that the file is closed. Start
    with `tensorboard --logdir FOLDER`.

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

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default(step=self.step):
            text = json.dumps(self.settings, indent=2)
            tf.summary.text("settings", f"```json\n{text}\n```")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the event file."""
        self._writer.close()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the window's numbers and, where there are, its samples."""
        with self._writer.as_default(step=logs["step"]):
            for name, tag in TAGS.items():
                if logs.get(name) is not None:
                    self._summary.scalar(tag, logs[name])
            if self.samples is not None and self.samples.texts:
                self._summary.text("samples", self.samples.texts)
        self._writer.flush()
