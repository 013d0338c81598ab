"""Rows to their experts and back: sorted by expert, none dropped.

Two ways with equal results:

- Blocks: rows of one expert fill blocks of one size, the last of them with
  rows that nobody reads. All shapes follow from the input's shape, whatever
  the router chooses, so XLA, JAX and LiteRT can compile it. Weights are read
  once for each block.
- Slices: each expert gets exactly its rows. No padding and no copy of a
  weight, but shapes depend on values: TensorFlow without XLA only, and asked
  for with `exact_slices`.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops

from keras_llm.layers.embedding import lookup

# Reading an expert's weights for a block takes as long as multiplying this
# many rows with them (measured on a CPU).
ROWS_PER_READ = 32

_slices_allowed = contextvars.ContextVar("slices_allowed", default=False)


@contextlib.contextmanager
def exact_slices(allowed: bool = True) -> Iterator[None]:
    """Lets experts take exactly their rows, where shapes may depend on values.

    For code that XLA will not compile; outside of TensorFlow it changes
    nothing.

    Example:

    >>> with exact_slices():
    ...     _slices_allowed.get()
    True
    """
    token = _slices_allowed.set(allowed)
    try:
        yield
    finally:
        _slices_allowed.reset(token)


def dispatch(
    x: Any,
    chosen: Any,
    weights: Mapping[str, Any],
    expert: Callable[[Any, dict[str, Any]], Any],
) -> Any:
    """Runs each row through the experts chosen for it.

    Args:
        x: Rows `(rows, hidden_dim)`.
        chosen: int32 `(rows, top_k)`, experts of each row, all different.
        weights: The experts' weights by name, each `(count, ...)`: matrices
            `(count, in, out)` and biases `(count, out)`.
        expert: From rows `(..., size, hidden_dim)` and weights of one expert
            (`(..., in, out)`, biases `(..., 1, out)`) to `(..., size, out)`.

    Returns:
        `(rows, top_k, out)`: what every chosen expert says.

    Example:

    >>> double = {"factor": ops.reshape(ops.array([1.0, 2.0]), (2, 1, 1))}
    >>> out = dispatch(ops.ones((3, 1)), ops.array([[0], [1], [0]]), double,
    ...     lambda x, weights: x * weights["factor"])
    >>> out[:, 0, 0].numpy().tolist()
    [1.0, 2.0, 1.0]
    """
    count = next(iter(weights.values())).shape[0]
    if _slices_allowed.get() and keras.backend.backend() == "tensorflow":
        out = _in_slices(x, chosen, count, weights, expert)
    else:
        out = _in_blocks(x, chosen, count, weights, expert)
    return ops.reshape(out, (*ops.shape(chosen), out.shape[-1]))


def _in_slices(
    x: Any, chosen: Any, count: int, weights: Mapping, expert: Callable
) -> Any:
    import tensorflow as tf

    flat = tf.reshape(chosen, [-1])
    order = tf.argsort(flat, stable=True)
    sizes = tf.math.bincount(flat, minlength=count, maxlength=count)
    sorted_rows = tf.gather(x, order // chosen.shape[1])
    parts = {name: tf.unstack(_wide(w)) for name, w in weights.items()}
    out = [
        expert(rows, {name: part[index] for name, part in parts.items()})
        for index, rows in enumerate(tf.split(sorted_rows, sizes, num=count))
    ]
    return tf.gather(tf.concat(out, 0), tf.math.invert_permutation(order))


def _in_blocks(
    x: Any, chosen: Any, count: int, weights: Mapping, expert: Callable
) -> Any:
    rows, top_k = ops.shape(x)[0], chosen.shape[1]
    flat = ops.reshape(chosen, (-1,))
    size = _block_size(rows, top_k, count)
    if isinstance(size, int) and size == 1:  # a block is a row
        alone = ops.expand_dims(ops.repeat(x, top_k, axis=0), 1)
        return expert(alone, {n: _pick(w, flat) for n, w in weights.items()})
    owner, source, slots = _layout(flat, rows * top_k, size, count)
    out = expert(
        lookup(x, source // top_k),
        {name: _pick(weight, owner) for name, weight in weights.items()},
    )
    return lookup(ops.reshape(out, (-1, out.shape[-1])), slots)


def _block_size(rows: Any, top_k: int, count: int) -> Any:
    """Rows of a block: few waste reads of weights, many waste products.

    With n assignments there are up to `n / size + count` blocks, and each
    costs `size + ROWS_PER_READ`: lowest at the root of their ratio. An expert
    never has more than `rows`.
    """
    if isinstance(rows, int):
        best = math.isqrt(ROWS_PER_READ * rows * top_k // count)
        return max(1, min(rows, best))
    best = ops.sqrt(ops.cast(rows * top_k, "float32") * ROWS_PER_READ / count)
    return ops.maximum(1, ops.minimum(rows, ops.cast(best, "int32")))


def _layout(
    flat: Any, total: Any, size: Any, count: int
) -> tuple[Any, Any, Any]:
    """Lays `total` assignments to experts into blocks of `size`.

    Returns:
        The expert of each block `(blocks,)`; the assignment in each place of
        each block `(blocks, size)`, where places that are left over repeat
        one; and the place of each assignment `(total,)`.
    """
    hits = ops.expand_dims(flat, 1) == ops.arange(count, dtype="int32")
    amounts = ops.sum(ops.cast(hits, "int32"), axis=0)
    begins = ops.cumsum(amounts) - amounts  # in sorted order
    filled = (amounts + size - 1) // size
    ends = ops.cumsum(filled)
    firsts = ends - filled  # block of an expert
    most = (total + ops.minimum(count, total) * (size - 1)) // size
    block = ops.arange(most, dtype="int32")
    passed = ops.cast(ops.expand_dims(block, 1) >= ends, "int32")
    owner = ops.minimum(ops.sum(passed, axis=1), count - 1)
    start = lookup(begins, owner) + (block - lookup(firsts, owner)) * size
    place = ops.expand_dims(start, 1) + ops.arange(size, dtype="int32")
    order = ops.cast(ops.argsort(flat), "int32")
    source = lookup(order, ops.minimum(place, total - 1))
    rank = ops.scatter(
        ops.expand_dims(order, 1), ops.arange(total, dtype="int32"), (total,)
    )
    slots = rank + lookup(firsts * size - begins, flat)
    return owner, source, slots


def _pick(weight: Any, experts: Any) -> Any:
    """Weights of one expert each, `(len(experts), ...)`.

    Read as rows of one table: LiteRT keeps tables in int8 and reads only the
    rows it is asked for, but has no such operation on stacked matrices.
    """
    weight = _wide(weight)
    _, height, width = weight.shape
    rows = ops.expand_dims(experts * height, 1) + ops.arange(
        height, dtype="int32"
    )
    table = ops.reshape(weight, (-1, width))
    picked = lookup(table, ops.reshape(rows, (-1,)))
    return ops.reshape(picked, (-1, height, width))


def _wide(weight: Any) -> Any:
    """A bias `(count, out)` as `(count, 1, out)`; matrices as they are."""
    return weight if len(weight.shape) == 3 else ops.expand_dims(weight, 1)
