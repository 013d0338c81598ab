"""Attention in one kernel (flash), where the backend has one.

The scores of a row are never in memory: on a GPU attention then needs memory
that grows with the row, not with its square. JAX has it for GPUs (cuDNN);
TensorFlow has none, and on a CPU plain products are faster.
"""

import functools
from typing import Any

import keras
from keras import ops


def has_device(kind: str) -> bool:
    """Returns whether there is a device of a kind.

    Args:
        kind: "cpu", "gpu" or "tpu". (Keras' own list fails on JAX when asked
            for a kind that is not there.)

    Example:

    >>> has_device("cpu")
    True
    """
    return any(
        name.startswith(kind) for name in keras.distribution.list_devices()
    )


@functools.cache
def has_fused_attention() -> bool:
    """Returns whether this backend has such a kernel for this machine.

    Example:

    >>> has_fused_attention()  # on TensorFlow
    False
    """
    return keras.backend.backend() == "jax" and has_device("gpu")


def fused_attention(
    query: Any, key: Any, value: Any, mask: Any, scale: float
) -> Any:
    """As `attend.attend`, by Keras' `dot_product_attention`.

    Args:
        query: `(batch, heads, time, head_dim)`.
        key, value: `(batch, kv_heads, time, head_dim)`.
        mask: Additive, 0 where a query sees a key, broadcastable to `(batch,
            heads, time, time)`; None for causal, which is fastest.
        scale: Factor on the scores.

    Returns:
        `(batch, heads, time, head_dim)`.

    Source: Dao 2023, https://arxiv.org/abs/2307.08691.

    Example:

    >>> one = ops.ones((1, 2, 3, 4))
    >>> fused_attention(one, one, one, None, 0.5).shape
    TensorShape([1, 2, 3, 4])
    """
    mixed = ops.dot_product_attention(
        *(ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value)),
        mask=None if mask is None else ops.equal(mask, 0.0),
        scale=scale,
        is_causal=mask is None,
    )
    return ops.transpose(mixed, (0, 2, 1, 3))
