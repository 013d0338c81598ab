"""Noise on embeddings whose values follow from seed, step and row."""

from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.layers.dropout import first_row, row_bits


@keras.saving.register_keras_serializable("keras_llm")
class EmbeddingNoise(keras.layers.Layer):
    """Adds uniform noise of a length that does not depend on the shape.

    In training `y = x + alpha / sqrt(time * width) * u` with u between -1
    and 1, elsewhere `y = x`. Like `Dropout`, the noise of a row depends on
    its place in the global batch only.

    Args:
        alpha: Size of the noise; 5 to 15 in the paper.
        seed: Start of the seed generator. Default: a random one.

    Call arguments:
        x: `(batch, time, width)`.

    Returns:
        The same shape.

    Raises:
        InputError: alpha is not above zero.

    Source: Jain et al. 2023, https://arxiv.org/abs/2310.05914 (NEFTune).

    Example:

    >>> noise = EmbeddingNoise(5.0, seed=1)
    >>> y = noise(ops.zeros((2, 25, 4)), training=True)
    >>> bool(ops.max(ops.abs(y)) <= 0.5), bool(ops.any(y[0] != y[1]))
    (True, True)
    """

    draws = True  # its seed moves on with the steps

    def __init__(self, alpha: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not alpha > 0:
            raise InputError(
                "Expected alpha above zero: the size of the noise, 5 in the "
                f"paper. Received: {alpha!r}."
            )
        self.alpha = alpha
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Adds the noise in training."""
        if not training:
            return x
        _, time, width = ops.shape(x)
        size = self.alpha * ops.rsqrt(ops.cast(time * width, "float32"))
        return x + ops.cast(size * self._uniform(ops.shape(x)), x.dtype)

    def _uniform(self, shape: Any) -> Any:
        first = first_row()
        if first is None:
            return keras.random.uniform(
                shape, -1, 1, "float32", self.seed_generator
            )
        bits = row_bits(self.seed_generator.state, first, shape)
        return ops.cast(bits, "float32") * 2.0**-31 - 1.0

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments but for the seed."""
        return {**super().get_config(), "alpha": self.alpha}
