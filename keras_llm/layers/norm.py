"""Normalization layers: Keras's own, and the form that Gemma adds to them."""

from typing import Any

import keras
from keras import ops

from keras_llm.config import DecoderConfig


@keras.saving.register_keras_serializable("keras_llm")
class OffsetRMSNormalization(keras.layers.RMSNormalization):
    """RMS normalization whose learned scale is added to one.

    `x / rms(x) * (1 + scale)`. The scale starts at zero, so weight decay
    pulls the layer towards the plain form and not towards silence.

    Args:
        axis: The axis to normalize. Default: the last.
        epsilon: Added to the mean square. Default: 1e-6.

    Call arguments:
        x: `(..., channels)`.

    Returns:
        Same shape as `x`.

    Source: Gemma, https://arxiv.org/abs/2403.08295.

    Example:

    >>> layer = OffsetRMSNormalization()
    >>> layer(ops.array([[3.0, 3.0]])).numpy().round(3).tolist()
    [[1.0, 1.0]]
    """

    def build(self, input_shape: tuple) -> None:
        """Makes the scale for inputs of shape `(..., channels)`."""
        shape = (input_shape[self.axis],)
        # Not cast: in bfloat16, 1 + 0.003 would be 1.
        self.scale = self.add_weight(
            name="scale", shape=shape, initializer="zeros", autocast=False
        )

    def call(self, x: Any) -> Any:
        """Normalizes; see the class."""
        return ops.rms_normalization(
            x, scale=gain(self), axis=self.axis, epsilon=self.epsilon
        )


NORMALIZATIONS = {
    "rms": keras.layers.RMSNormalization,
    "rms_offset": OffsetRMSNormalization,
    "layer": keras.layers.LayerNormalization,
}


def normalization(
    config: DecoderConfig, name: str, dtype: Any = None
) -> keras.layers.Layer:
    """Returns the config's normalization layer, computed in float32.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> normalization(config, "final_norm").epsilon
    1e-05
    """
    kind = NORMALIZATIONS[config.norm]
    return kind(epsilon=config.norm_eps, dtype=dtype, name=name)


def gain(norm: keras.layers.RMSNormalization) -> Any:
    """Returns what an RMS normalization multiplies each channel by.

    Where one is added, the sum is float32 in any precision.

    Example:

    >>> layer = OffsetRMSNormalization()
    >>> layer.build((None, 2))
    >>> gain(layer).numpy().tolist()
    [1.0, 1.0]
    """
    scale = ops.convert_to_tensor(norm.scale)
    if isinstance(norm, OffsetRMSNormalization):
        return 1.0 + ops.cast(scale, "float32")
    return scale
