"""The token embeddings for TensorBoard's projector, with their tokens."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_llm.files import write_text
from keras_llm.train.ema import averaged
from keras_llm.train.measure import Run

LABELS = "tokens.tsv"
MOST = 10_000  # rows; the projector itself draws about that many


class Projector(keras.callbacks.Callback):
    """Writes the embeddings at the end of a run.

    Args:
        run: Where the run stands.
        folder: TensorBoard's.
        tokenizer: Says what the tokens are; None numbers them.

    Example:

    >>> Projector(Run(1), Path("tensorboard")).tokenizer is None
    True
    """

    def __init__(self, run: Run, folder: Path, tokenizer: Any = None):
        super().__init__()
        self.run, self.folder, self.tokenizer = run, folder, tokenizer

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes after the last step."""
        if not self.run.finished:
            return
        decoder = self.model.decoder
        with averaged(decoder, self.model.optimizer):
            table = next(
                keras.ops.convert_to_numpy(variable)
                for variable in decoder.weights  # it may be frozen
                if variable.path.startswith("token_embedding/")
            )
        write_projector(self.folder, table[:MOST], self.tokenizer)


def write_projector(
    folder: Path, table: np.ndarray, tokenizer: Any = None
) -> None:
    """Writes what TensorBoard's projector reads: a table and its labels.

    Args:
        folder: TensorBoard's; gets a TensorFlow checkpoint of the table.
        table: `(tokens, width)`.
        tokenizer: `decode([id])` gives a label where it `has_token(id)`;
            None numbers the tokens.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_projector(folder, np.zeros((2, 3), "float32"))
    >>> (folder / LABELS).read_text().split()
    ['0', '1']
    """
    import tensorflow as tf
    from tensorboard.plugins import projector

    folder.mkdir(parents=True, exist_ok=True)
    with tf.device("CPU:0"):
        values = tf.Variable(np.asarray(table, "float32"))
    tf.train.Checkpoint(tokens=values).save(str(folder / "embeddings"))
    labels = [_label(number, tokenizer) for number in range(len(table))]
    write_text(folder / LABELS, "\n".join(labels) + "\n")
    config = projector.ProjectorConfig()
    config.embeddings.add(
        tensor_name="tokens/.ATTRIBUTES/VARIABLE_VALUE", metadata_path=LABELS
    )
    projector.visualize_embeddings(str(folder), config)


def _label(number: int, tokenizer: Any) -> str:
    """A token as one line that is not empty."""
    if tokenizer is None or not tokenizer.has_token(number):
        return str(number)  # many models have more ids than tokens
    text = tokenizer.decode([number])
    return repr(text)[1:-1] if text.strip() else repr(text)
