"""Masks: who sees whom."""

from typing import Any

import keras
from keras import ops

HIDDEN = -1e9  # finite: softmax of a row that is all hidden stays a number


def visibility(
    query_positions: Any,
    key_positions: Any,
    window: int | None = None,
    query_segments: Any = None,
    key_segments: Any = None,
) -> Any:
    """Returns the additive mask: 0 where a query sees a key, -1e9 elsewhere.

    A query sees keys at its own and earlier positions; with a `window`, only
    the last `window` of them; with segments, only keys of its own document.
    Positions that restart in every document of a packed row work because the
    segments keep documents apart.

    Args:
        query_positions: int32 `(batch, time)`.
        key_positions: int32 `(batch, slots)` or `(1, slots)`.
        window: How many positions a query sees, itself included.
        query_segments, key_segments: int32, shapes as the positions; 0 is
            padding, which sees only padding.

    Returns:
        float32 `(batch, 1, time, slots)`.

    Example:

    >>> import numpy as np
    >>> positions = np.arange(4)[None]
    >>> (visibility(positions, positions, 2).numpy()[0, 0] == 0).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    query = ops.expand_dims(query_positions, -1)
    key = ops.expand_dims(key_positions, -2)
    seen = query >= key
    if window is not None:
        seen = ops.logical_and(seen, query - key < window)
    if query_segments is not None:
        same = ops.equal(
            ops.expand_dims(query_segments, -1),
            ops.expand_dims(key_segments, -2),
        )
        seen = ops.logical_and(seen, same)
    return ops.expand_dims(ops.where(seen, 0.0, HIDDEN), 1)


@keras.saving.register_keras_serializable("keras_llm")
class CausalMask(keras.layers.Layer):
    """`visibility` of a sequence to itself, computed once for all blocks.

    Args:
        window: How many positions a query sees, itself included; None: all.

    Call arguments:
        positions: int32 `(batch, time)`.
        segments: int32 `(batch, time)` of a packed row, or None.

    Returns:
        float32 `(batch, 1, time, time)`, or `(1, 1, time, time)` without
        segments: then one mask serves every row, because only the order of
        the columns matters.

    Example:

    >>> import numpy as np
    >>> CausalMask()(np.zeros((3, 5), "int32")).shape
    TensorShape([1, 1, 5, 5])
    """

    def __init__(self, window: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.window = window

    def call(self, positions: Any, segments: Any = None) -> Any:
        """Returns the mask; see the class."""
        order = ops.arange(ops.shape(positions)[1], dtype="int32")
        order = ops.expand_dims(order, 0)
        mask = visibility(order, order, self.window, segments, segments)
        return ops.cast(mask, self.compute_dtype)

    def compute_output_spec(self, positions: Any, segments: Any = None) -> Any:
        """Returns the mask's spec."""
        batch = 1 if segments is None else segments.shape[0]
        shape = (batch, 1, positions.shape[1], positions.shape[1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "window": self.window}
