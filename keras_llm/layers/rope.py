"""Rotary positions: each pair of channels turns at its own speed."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.config import (
    GLOBAL,
    LOCAL,
    NO_ROTARY,
    DecoderConfig,
    Rope,
)


def rotary_frequencies(
    head_dim: int, rope: Rope, long: bool = False
) -> np.ndarray:
    """Returns the angle per position, in radians, of each channel pair.

    Args:
        head_dim: Channels of a head.
        rope: Base, share of turning channels, and scaling.
        long: Whether the text is longer than the original context, which
            matters to "longrope" only. Default: False.

    Returns:
        float32 array of shape `(rotary_dim // 2,)`, highest speed first.

    Source: `rope_scaling` of the Llama 3.1 and YaRN reference
    implementations, https://arxiv.org/abs/2309.00071; LongRoPE,
    https://arxiv.org/abs/2402.13753.

    Example:

    >>> rotary_frequencies(4, Rope(theta=100.0)).tolist()
    [1.0, 0.10000000149011612]
    """
    dim = int(head_dim * rope.fraction)
    speeds = rope.theta ** -(np.arange(0, dim, 2, dtype="float64") / dim)
    if rope.scaling == "linear":
        speeds = speeds / rope.factor
    elif rope.scaling == "llama3":
        speeds = _llama3(speeds, rope)
    elif rope.scaling == "yarn":
        speeds = _yarn(speeds, rope, dim)
    elif rope.scaling == "longrope":
        speeds = speeds / (rope.long_factors if long else rope.short_factors)
    return speeds.astype("float32")


def _llama3(speeds: np.ndarray, rope: Rope) -> np.ndarray:
    """Stretches long wavelengths, keeps short ones, blends in between."""
    turns = _original(rope) * speeds / (2 * math.pi)
    keep = (turns - rope.low_frequency) / (
        rope.high_frequency - rope.low_frequency
    )
    keep = np.clip(keep, 0.0, 1.0)
    return speeds * (keep + (1 - keep) / rope.factor)


def _yarn(speeds: np.ndarray, rope: Rope, dim: int) -> np.ndarray:
    """Stretches slow channels, keeps fast ones, ramps over their index."""

    def channel_with(turns: float) -> float:
        ratio = _original(rope) / (turns * 2 * math.pi)
        return dim * math.log(ratio) / (2 * math.log(rope.theta))

    low, high = channel_with(rope.beta_fast), channel_with(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = (np.arange(dim // 2) - low) / max(high - low, 0.001)
    keep = 1 - np.clip(ramp, 0.0, 1.0)
    return speeds * (keep + (1 - keep) / rope.factor)


def _original(rope: Rope) -> int:
    return rope.original_context or 0  # Rope has checked that it is given


def rotary_amplitude(rope: Rope) -> float:
    """Returns what cosines and sines are multiplied by; mostly 1.

    Example:

    >>> rotary_amplitude(Rope())
    1.0
    """
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.scaling == "yarn" and rope.factor > 1:
        return 0.1 * math.log(rope.factor) + 1.0
    if rope.scaling == "longrope" and rope.factor > 1:
        return math.sqrt(1 + math.log(rope.factor) / math.log(_original(rope)))
    return 1.0


def rotate(x: Any, cos: Any, sin: Any) -> Any:
    """Turns the first `2 * cos.shape[-1]` channels of every head.

    Channel `i` is paired with channel `i + rotary_dim / 2` (the convention of
    GPT-NeoX and of Llama in `transformers`).

    Args:
        x: `(batch, time, heads, head_dim)`.
        cos: `(batch, time, rotary_dim / 2)`.
        sin: `(batch, time, rotary_dim / 2)`.

    Returns:
        Same shape and dtype as `x`.

    Source: Su et al. 2021, https://arxiv.org/abs/2104.09864.

    Example:

    >>> x = np.array([[[[1.0, 0.0]]]], "float32")
    >>> quarter = np.array([[[np.pi / 2]]], "float32")
    >>> rotate(x, np.cos(quarter), np.sin(quarter)).numpy().round(3).tolist()
    [[[[-0.0, 1.0]]]]
    """
    half = cos.shape[-1]
    cos = ops.cast(ops.expand_dims(cos, 2), x.dtype)
    sin = ops.cast(ops.expand_dims(sin, 2), x.dtype)
    first, second = x[..., :half], x[..., half : 2 * half]
    turned = [first * cos - second * sin, second * cos + first * sin]
    if 2 * half < x.shape[-1]:
        turned.append(x[..., 2 * half :])
    return ops.concatenate(turned, axis=-1)


@keras.saving.register_keras_serializable("keras_llm")
class RotaryEmbedding(keras.layers.Layer):
    """Cosines and sines of every position's angles, computed once a call.

    `angle[p, i] = p * theta ** (-2 i / rotary_dim)`, then scaled.

    Args:
        head_dim: Channels of a head.
        rope: A `Rope` record or its dictionary. Default: `Rope()`.

    Call arguments:
        positions: int32 `(batch, time)`.
        length: How long the text may get, which "longrope" asks; an integer
            or int32 `(batch, 1)`. None means: up to its last position.

    Returns:
        `(cos, sin)`, each float32 `(batch, time, rotary_dim / 2)`, whatever
        the dtype policy: angles of late positions need the precision.

    Raises:
        InputError: `rope` has a value out of range.

    Source: Su et al. 2021, https://arxiv.org/abs/2104.09864.

    Example:

    >>> cos, sin = RotaryEmbedding(8)(np.arange(3)[None])
    >>> cos.shape
    TensorShape([1, 3, 4])
    """

    def __init__(
        self, head_dim: int, rope: Rope | dict | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        rope = rope or Rope()
        self.head_dim = head_dim
        self.rope = Rope.from_dict(rope) if isinstance(rope, dict) else rope
        self._speeds = [
            rotary_frequencies(head_dim, self.rope, long)
            for long in (False, True)
        ]
        self._amplitude = rotary_amplitude(self.rope)

    def call(self, positions: Any, length: Any = None) -> tuple[Any, Any]:
        """Returns `(cos, sin)` of the positions; see the class."""
        speeds = self._speeds[0]
        if self.rope.scaling == "longrope":
            if length is None:
                length = ops.max(positions, axis=-1, keepdims=True) + 1
            long = ops.expand_dims(length > self.rope.original_context, -1)
            speeds = ops.where(long, self._speeds[1], speeds)
        positions = ops.cast(positions, "float32")
        angles = ops.expand_dims(positions, -1) * speeds
        return (
            ops.cos(angles) * self._amplitude,
            ops.sin(angles) * self._amplitude,
        )

    def compute_output_spec(
        self, positions: Any, length: Any = None
    ) -> tuple[Any, Any]:
        """Returns the two float32 specs, whatever the dtype policy."""
        shape = (*positions.shape, len(self._speeds[0]))
        return (
            keras.KerasTensor(shape, dtype="float32"),
            keras.KerasTensor(shape, dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {"head_dim": self.head_dim, "rope": self.rope.to_dict()}
        return {**super().get_config(), **own}


def rotary_layers(config: DecoderConfig) -> dict[str, Any]:
    """Returns one rotary layer for each kind of block in the config.

    Args:
        config: The decoder's config.

    Returns:
        Kind -> `RotaryEmbedding`, or None where nothing turns.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=4, hidden_dim=8, num_heads=2, pattern="GGGN")
    >>> {kind: bool(layer) for kind, layer in rotary_layers(config).items()}
    {'G': True, 'N': False}
    """
    if config.rope is None:
        return dict.fromkeys(config.layer_kinds)
    everywhere = RotaryEmbedding(config.head_dim, config.rope, name="rotary")
    local = everywhere
    if config.rope.local_theta is not None:
        # Scaling belongs to the long context of global layers (Gemma 3).
        rope = Rope(
            theta=config.rope.local_theta, fraction=config.rope.fraction
        )
        local = RotaryEmbedding(config.head_dim, rope, name="rotary_local")
    kinds = {GLOBAL: everywhere, LOCAL: local, NO_ROTARY: None}
    return {kind: kinds[kind] for kind in config.layer_kinds}
