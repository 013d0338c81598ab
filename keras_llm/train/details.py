"""Norms of gradients, updates and weights by layers, and histograms."""

from typing import Any

import keras
import numpy as np

from keras_llm.closing import Closing
from keras_llm.train.arrays import arrays_of
from keras_llm.train.background import Background
from keras_llm.train.measure import Run
from keras_llm.train.tensorboard import TensorBoard
from keras_llm.train.token_metrics import group_of

SHOWN = 10_000  # values of a variable in its histogram, at most


class Details(Closing, keras.callbacks.Callback):
    """Writes what a run does to its layers into TensorBoard.

    Every window: `gradient_norm/LAYER`, before clipping, the mean over its
    steps. Every so many steps, from two copies of the weights around the
    last step of a window, in a thread: `update_norm/LAYER`,
    `weight_norm/LAYER`, `update_ratio/LAYER` (the one over the other; about
    0.001 is usual) and `weights/...`, histograms of at most 10,000 values
    at equal distances.

    Comes after `Measure`. Use it as a context within that of the board, so
    that all is written before its file is closed.

    Args:
        run: Where the run stands.
        board: Whose event file to write to: TensorBoard follows only one.
        every: Steps between updates and histograms; 0 for none.
        window: Steps of a window.

    Example:

    >>> import pathlib, tempfile
    >>> with TensorBoard(pathlib.Path(tempfile.mkdtemp()), {}) as board:
    ...     with Details(Run(1), board, 0, 10) as details:
    ...         details.every
    0
    """

    def __init__(self, run: Run, board: TensorBoard, every: int, window: int):
        super().__init__()
        self.run, self.board = run, board
        self.every, self.window = every, window
        self._before: dict[str, np.ndarray] | None = None
        self._thread = Background()

    def close(self) -> None:
        """Waits for what is being written."""
        self._thread.wait()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the norms of the window before."""
        self._norms: dict[str, float] | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Copies the weights before the last step of a window that is due."""
        if self._due():
            self._before = self._copies()

    def on_test_begin(self, logs: Any = None) -> None:
        """Reads the norms before the validation resets them."""
        self._read_norms()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the window's norms, and starts with the rest if it is due."""
        self._read_norms()
        step = self.run.step
        with self.board.at(step) as summary:
            for group, norm in (self._norms or {}).items():
                summary.scalar(f"gradient_norm/{group}", norm)
        before, self._before = self._before, None
        if before is not None:
            after = self._copies()
            self._thread.start(lambda: self._write(step, before, after))

    def _due(self) -> bool:
        step, window = self.run.step, self.window
        if not self.every or step % window:
            return False
        return step // self.every > (step - window) // self.every

    def _copies(self) -> dict[str, np.ndarray]:
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        return arrays_of(self.model.decoder.trainable_variables, copy=True)

    def _read_norms(self) -> None:
        if self._norms is None:
            self._norms = self.model.group_norms.norms()

    def _write(self, step: int, before: dict, after: dict) -> None:
        changes = {path: after[path] - before[path] for path in after}
        updates, weights = norms_of(changes), norms_of(after)
        with self.board.at(step) as summary:
            for group, norm in updates.items():
                ratio = norm / max(weights[group], 1e-12)
                summary.scalar(f"update_norm/{group}", norm)
                summary.scalar(f"weight_norm/{group}", weights[group])
                summary.scalar(f"update_ratio/{group}", ratio)
            for path, values in after.items():
                flat = values.reshape(-1)
                shown = flat[:: -(-flat.size // SHOWN)]
                summary.histogram(f"weights/{path}", shown)


def norms_of(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the norm of each group of layers.

    Example:

    >>> norms_of({"a/kernel": np.array([3.0]), "a/bias": np.array([4.0])})
    {'a': 5.0}
    """
    squares: dict[str, float] = {}
    for path, values in arrays.items():
        flat = values.reshape(-1).astype("float32")
        group = group_of(path)
        squares[group] = squares.get(group, 0.0) + float(np.dot(flat, flat))
    return {group: square**0.5 for group, square in squares.items()}
