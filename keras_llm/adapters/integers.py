"""A matrix kept as integers and used as floats: the base of QLoRA.

The float matrix is made where it is needed and not kept: in training it is
made a second time on the way back, so that the memory of a step holds the
integers of all layers and the floats of one.
"""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.quantize.grid import Integers, pack, rounding


@keras.saving.register_keras_serializable("keras_llm")
class IntegerKernel(keras.layers.Layer):
    """The kernel of a Dense layer as integers and scales; never trained.

    8 bits: int8 and a float32 scale. 4 bits: uint8, two values in each, and
    float16 scales. See `keras_llm.quantize.grid`.

    Args:
        bits: 8 or 4.
        group: Inputs that share a scale; None means all.
        inputs, outputs: The shape of the kernel.

    Example:

    >>> layer = IntegerKernel(4, 2, 3, 2)
    >>> layer.build()
    >>> layer.assign(np.array([[1.0, 2], [0.5, 1], [8, -8]], "float32"))
    >>> ops.convert_to_numpy(layer.floats()).tolist()
    [[1.0, 2.0], [0.5, 1.0], [8.0, -8.0]]
    """

    def __init__(
        self,
        bits: int,
        group: int | None,
        inputs: int,
        outputs: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.bits, self.group = bits, min(group or inputs, inputs)
        self.shape = (inputs, outputs)

    def build(self, input_shape: Any = None) -> None:
        """Makes the variables, zero until `assign`."""
        del input_shape
        inputs, outputs = self.shape
        size = inputs * outputs
        packed = self.bits == 4
        self.values = self._integer_weight(
            "values",
            (-(-size // 2),) if packed else self.shape,
            "uint8" if packed else "int8",
        )
        groups = -(-inputs // self.group)
        self.scales = self._integer_weight(
            "scales", (groups, outputs), "float16" if packed else "float32"
        )

    def assign(self, kernel: np.ndarray) -> None:
        """Rounds a float kernel to the nearest integers and keeps these."""
        found = rounding(kernel, self.bits, self.group)
        values = found.values
        self.values.assign(pack(values) if self.bits == 4 else values)
        self.scales.assign(found.scale)

    def floats(self, dtype: str = "float32") -> Any:
        """Returns the kernel that the integers stand for."""
        values = ops.convert_to_tensor(self.values)
        if self.bits == 4:
            low = ops.bitwise_and(values, 15)
            high = ops.right_shift(values, 4)
            values = ops.reshape(ops.stack([low, high], -1), (-1,))
            size = self.shape[0] * self.shape[1]
            values = ops.reshape(values[:size], self.shape)
            values = ops.cast(values, dtype) - 8
        scales = ops.cast(ops.convert_to_tensor(self.scales), dtype)
        wide = ops.repeat(scales, self.group, axis=0)[: self.shape[0]]
        return ops.cast(values, dtype) * wide

    def product(self, x: Any, training: bool | None = None) -> Any:
        """Returns `x` times the kernel, `(..., outputs)`.

        Args:
            x: Float `(..., inputs)`.
            training: Whether to make the floats again for the gradient
                instead of keeping them.
        """
        dtype = keras.backend.standardize_dtype(x.dtype)

        def product(x: Any) -> Any:
            with _after(x):
                kernel = self.floats(dtype)
            return ops.matmul(x, kernel)

        return keras.remat(product)(x) if training else product(x)

    def found(self) -> Integers:
        """Returns the integers on the host, 4 bits unpacked."""
        values = ops.convert_to_numpy(self.values)
        if self.bits == 4:
            values = np.stack([values & 15, values >> 4], -1).reshape(-1)
            size = self.shape[0] * self.shape[1]
            values = values[:size].reshape(self.shape).astype("int8") - 8
        scales = ops.convert_to_numpy(self.scales)
        return Integers(values, scales, self.group, bits=self.bits)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        inputs, outputs = self.shape
        own = {"bits": self.bits, "group": self.group}
        own |= {"inputs": inputs, "outputs": outputs}
        return {**super().get_config(), **own}

    def _integer_weight(self, name: str, shape: tuple, dtype: str) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
        )


def _after(x: Any) -> contextlib.AbstractContextManager:
    """Has what is computed inside wait for `x`.

    TensorFlow's graphs would else make the floats of all layers at the start
    of a step, as they follow from variables alone. XLA looks after memory.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies([x])
