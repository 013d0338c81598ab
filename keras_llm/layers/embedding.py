"""Token rows and positions."""

from typing import Any

import keras
from keras import ops


def lookup(table: Any, ids: Any) -> Any:
    """Returns rows of a table, by one plain gather.

    `ops.take` on TensorFlow adds operations for negative ids, which keep the
    LiteRT converter from storing the table once and reading it in place.

    Args:
        table: `(rows, width)`.
        ids: integers of any shape, all in `[0, rows)`.

    Returns:
        `(*ids.shape, width)`.

    Example:

    >>> lookup(ops.eye(2), ops.array([1])).numpy().tolist()
    [[0.0, 1.0]]
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(tf.convert_to_tensor(table), ids)
    return ops.take(table, ids, axis=0)


@keras.saving.register_keras_serializable("keras_llm")
class Positions(keras.layers.Layer):
    """Counts columns from 0 where no positions are given.

    Call arguments:
        tokens: `(batch, time)`.
        positions: int32 `(batch, time)` or None.

    Returns:
        int32 `(batch, time)`, or `(1, time)` when it counted.

    Example:

    >>> Positions()(ops.zeros((2, 3), "int32")).numpy().tolist()
    [[0, 1, 2]]
    """

    def call(self, tokens: Any, positions: Any = None) -> Any:
        """Returns the positions; see the class."""
        if positions is not None:
            return positions
        return ops.expand_dims(ops.arange(ops.shape(tokens)[1]), 0)

    def compute_output_spec(self, tokens: Any, positions: Any = None) -> Any:
        """Returns an int32 spec shaped as the tokens."""
        return keras.KerasTensor(tokens.shape, dtype="int32")
