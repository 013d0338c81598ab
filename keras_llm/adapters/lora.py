"""The variables of one adapter on one layer, and what they do to it."""

import zlib
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_llm.adapters.settings import Lora
from keras_llm.layers import Dropout


@keras.saving.register_keras_serializable("keras_llm")
class LoraAdapter(keras.layers.Layer):
    """One adapter on one Dense layer.

    `a` is uniform within `1 / sqrt(inputs)`, `b` zero: a new adapter changes
    nothing. With DoRA `magnitude` is the length of each of the kernel's
    columns. Variables are float32 in every precision.

    Args:
        lora: The settings, as a `Lora` or its dictionary.
        inputs, outputs: The shape of the layer's kernel.
        seed: Start of `a` and of dropout; the layer's path is mixed in.

    Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685; Liu et al. 2024,
    https://arxiv.org/abs/2402.09353.

    Example:

    >>> adapter = LoraAdapter(Lora(rank=2, alpha=2), 3, 4)
    >>> adapter.build()
    >>> kernel = ops.ones((3, 4))
    >>> bool(ops.all(adapter.merged(kernel) == kernel))
    True
    """

    def __init__(
        self,
        lora: Any,
        inputs: int,
        outputs: int,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        given = isinstance(lora, Lora)
        self.lora: Lora = lora if given else Lora.from_dict(lora)
        self.shape, self.seed = (inputs, outputs), seed
        self.drop: Any = None

    def build(self, input_shape: Any = None) -> None:
        """Makes the variables."""
        del input_shape
        inputs, outputs = self.shape
        # Layers of one shape must not start with the same numbers.
        seed = zlib.crc32(f"{self.seed}/{self.path}".encode()) % 2**31
        limit = inputs**-0.5
        uniform = keras.initializers.RandomUniform(-limit, limit, seed=seed)
        self.a = self._weight("lora_a", (inputs, self.lora.rank), uniform)
        self.b = self._weight("lora_b", (self.lora.rank, outputs), "zeros")
        self.magnitude = None
        if self.lora.dora:
            self.magnitude = self._weight("lora_magnitude", (outputs,), "ones")
        if self.lora.dropout:
            self.drop = Dropout(
                self.lora.dropout, seed=seed, dtype=self.dtype_policy
            )

    def start_from(self, kernel: Any) -> None:
        """Sets what follows from the kernel: DoRA's lengths."""
        if self.magnitude is not None:
            self.magnitude.assign(_lengths(kernel))

    def applied(
        self,
        x: Any,
        product: Any,
        kernel: Callable[[], Any],
        training: bool | None = None,
    ) -> Any:
        """Returns the layer's product with the adapter, without its bias.

        With DoRA the product without dropout is used for the kernel's part
        (`peft` drops there too, which has the same mean).

        Args:
            x: The layer's inputs `(..., inputs)`.
            product: `x` times the kernel.
            kernel: Returns the kernel; called for DoRA only.
            training: Whether dropout drops.
        """
        a, b = (ops.cast(v, x.dtype) for v in (self.a, self.b))
        dropped = self.drop(x, training=training) if self.drop else x
        moved = product + self.lora.scale * ops.matmul(
            ops.matmul(dropped, a), b
        )
        if self.magnitude is None:
            return moved
        return moved * ops.cast(self._stretch(kernel()), moved.dtype)

    def merged(self, kernel: Any) -> Any:
        """Returns the kernel that does what kernel and adapter do, float32."""
        moved = self._moved(kernel)
        if self.magnitude is None:
            return moved
        return moved * self._stretch(kernel)

    def _moved(self, kernel: Any) -> Any:
        change = ops.matmul(self.a, self.b)
        return ops.cast(kernel, "float32") + self.lora.scale * change

    def _stretch(self, kernel: Any) -> Any:
        """The factor on each output; no gradient goes through the norm."""
        lengths = ops.stop_gradient(_lengths(self._moved(kernel)))
        return ops.convert_to_tensor(self.magnitude) / lengths

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        inputs, outputs = self.shape
        own = {"lora": self.lora.to_dict(), "seed": self.seed}
        own |= {"inputs": inputs, "outputs": outputs}
        return {**super().get_config(), **own}

    def _weight(self, name: str, shape: tuple, initializer: Any) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype="float32",
            initializer=initializer,
            autocast=False,
        )


def _lengths(kernel: Any) -> Any:
    """The length of each column, float32 `(outputs,)`."""
    squares = ops.square(ops.cast(kernel, "float32"))
    return ops.sqrt(ops.sum(squares, axis=0))
