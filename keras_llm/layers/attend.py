"""Softmax attention of query heads over shared key and value heads."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def attend(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    scale: float,
    softcap: float | None = None,
    sinks: Any = None,
    drop: Callable = lambda weights: weights,
    looped: bool = False,
) -> Any:
    """Softmax attention of query heads over shared key and value heads.

    Query heads that share a key head are folded into its time axis, so that
    every product is a plain batched matrix product of rank 4.

    Args:
        query: `(batch, heads, time, head_dim)`.
        key, value: `(batch, kv_heads, slots, head_dim)`.
        mask: Additive, broadcastable to `(batch, heads, time, slots)`.
        scale: Factor on the scores.
        softcap: `cap * tanh(score / cap)` before the mask; None for none.
        sinks: `(heads,)` extra scores without a value; None for none.
        drop: Applied to the weights (dropout).
        looped: Whether this is a single token in TensorFlow's token loop.

    Returns:
        `(batch, heads, time, head_dim)`.

    Source: Ainslie et al. 2023, https://arxiv.org/abs/2305.13245; soft cap:
    Gemma 2, https://arxiv.org/abs/2408.00118; sinks: gpt-oss.

    Example:

    >>> one = ops.ones((1, 2, 3, 4))
    >>> attend(one, one[:, :1], one[:, :1], ops.zeros((1, 1, 3, 3)), 0.5).shape
    TensorShape([1, 2, 3, 4])
    """
    batch, heads, time, dim = ops.shape(query)
    kv_heads, slots = key.shape[1], ops.shape(key)[2]
    folded = (batch, kv_heads, time * (heads // kv_heads), -1)
    single = looped and kv_heads == heads and is_float32(query)
    product = _vector_product if single else _product
    scores = product(ops.reshape(query * scale, folded), key, True)
    scores = ops.reshape(scores, (batch, heads, time, slots))
    if softcap is not None:
        scores = softcap * ops.tanh(scores / softcap)
    weights = drop(_softmax(scores + ops.cast(mask, scores.dtype), sinks))
    weights = ops.reshape(weights, folded)
    mixed = product(weights, value, False)
    return ops.reshape(mixed, (batch, heads, time, dim))


def _product(x: Any, y: Any, turned: bool) -> Any:
    """Products of the last two axes, with the second factor turned or not."""
    return ops.einsum("bkth,bksh->bkts" if turned else "bkts,bksh->bkth", x, y)


def _vector_product(x: Any, y: Any, turned: bool) -> Any:
    """`_product` of single float32 rows, which this operation does faster.

    oneDNN takes over all other ones, and is a third slower where the first
    factor has one row, but several times faster where it has more.
    """
    import tensorflow as tf

    return tf.raw_ops.BatchMatMulV3(x=x, y=y, Tout=x.dtype, adj_y=turned)


def is_float32(x: Any) -> bool:
    """Returns whether a tensor's type is float32.

    Example:

    >>> is_float32(ops.ones(1, "bfloat16"))
    False
    """
    return keras.backend.standardize_dtype(x.dtype) == "float32"


def _softmax(scores: Any, sinks: Any) -> Any:
    """Softmax over the last axis; a sink takes its share and drops it."""
    if sinks is None and scores.shape[-1] == 1:
        return ops.ones_like(scores)  # one key; ops.softmax would warn
    if sinks is None:
        return ops.softmax(scores, axis=-1)
    sink = ops.reshape(ops.cast(sinks, scores.dtype), (1, -1, 1, 1))
    sink = ops.broadcast_to(sink, (*ops.shape(scores)[:-1], 1))
    weights = ops.softmax(ops.concatenate([scores, sink], -1), axis=-1)
    return weights[..., :-1]
