"""Rounding to bfloat16 at random, so that small steps are not lost."""

import zlib
from typing import Any

import keras
from keras import ops

LOW_BITS = 0xFFFF  # what bfloat16 lacks of a float32


def round_at_random(x: Any, step: Any, name: str) -> Any:
    """Returns float32 values as bfloat16, up or down by chance.

    A value between two bfloat16 numbers becomes the upper one with the share
    of the way it has gone there: right on average. Rounding to the nearest
    loses every step below half a unit (0.2 to 0.4 % of a value), so an
    average with decay 0.999 would stand still. The choice depends on step
    and name alone, so a resumed run makes the same.

    Args:
        x: float32, any shape; finite.
        step: Integer scalar, the optimizer step.
        name: What is rounded; other names get other chances.

    Source: Gupta et al. 2015, https://arxiv.org/abs/1502.02551.

    Example:

    >>> x = ops.full((1000,), 1.001)  # neighbours: 1 and 1.0078125
    >>> rounded = ops.cast(round_at_random(x, 0, "m"), "float32")
    >>> bool(abs(ops.mean(rounded) - 1.001) < 1e-3)
    True
    """
    bits = ops.view(x, dtype="int32")
    chance = _random_bits(x.shape, step, zlib.crc32(name.encode()) >> 1)
    bits = ops.bitwise_and(bits + chance, ~LOW_BITS)
    return ops.cast(ops.view(bits, dtype="float32"), "bfloat16")


def _random_bits(shape: Any, step: Any, seed: int) -> Any:
    """int32 from 0 to LOW_BITS."""
    if keras.backend.backend() == "jax":
        import jax

        key = jax.random.fold_in(jax.random.key(seed), step)
        return jax.random.bits(key, shape, "uint16").astype("int32")
    import tensorflow as tf

    bits = tf.random.stateless_uniform(
        shape,
        tf.stack([tf.cast(step, tf.int64), tf.constant(seed, tf.int64)]),
        minval=None,
        maxval=None,
        dtype=tf.int32,
    )
    return tf.bitwise.bitwise_and(bits, LOW_BITS)
