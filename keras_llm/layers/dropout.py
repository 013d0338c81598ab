"""Dropout whose mask follows from seed, step and row, not from the devices.

Keras' layer draws a mask for whatever rows it is given. The same global
batch, cut over replicas or micro-batches, then gets other masks, and in
TensorFlow every replica even the same one. Here the generator is counter
based (Philox on TensorFlow, Threefry on JAX), so that the numbers of row i
are its own, whoever computes them.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

PHILOX = 1  # the algorithm's number in TensorFlow
GROUP = 4  # numbers that Philox gives for one count

_first_row: contextvars.ContextVar[Any] = contextvars.ContextVar(
    "first_row", default=None
)


@contextlib.contextmanager
def rows_from(first: Any) -> Iterator[None]:
    """Says which row of the global batch a model's first row is.

    Inside, `Dropout` reads its seed and does not move it on: all parts of a
    batch share it, and a recomputed block (`remat`) sees its first mask
    again. Whoever opens this calls `next_seeds` once a step.

    Args:
        first: int64 scalar tensor or a number.

    Example:

    >>> with rows_from(4):
    ...     _first_row.get()
    4
    """
    token = _first_row.set(first)
    try:
        yield
    finally:
        _first_row.reset(token)


def first_row() -> Any:
    """Returns what `rows_from` says, None outside of it.

    Example:

    >>> first_row() is None
    True
    """
    return _first_row.get()


def next_seeds(layers: Any) -> None:
    """Moves the seed of every layer that draws on, to the next step's.

    Args:
        layers: Keras layers; those without `draws` are passed over.

    Example:

    >>> drop = Dropout(0.5, seed=7)
    >>> next_seeds([drop])
    >>> ops.convert_to_numpy(drop.seed_generator.state).tolist()
    [7, 1]
    """
    for layer in layers:
        if getattr(layer, "draws", False):
            layer.seed_generator.next()


@keras.saving.register_keras_serializable("keras_llm")
class Dropout(keras.layers.Dropout):
    """Sets a share of the values to zero and scales up the others.

    Outside of `rows_from` it is Keras' layer; inside, the mask of a row
    depends on the seed and on the row's place in the global batch only.

    Args:
        rate: Share of the values, 0 to 1.
        seed: Start of the seed generator. Default: a random one.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"
    (Philox).

    Example:

    >>> drop, x = Dropout(0.5, seed=1), ops.ones((4, 8))
    >>> with rows_from(0):
    ...     whole = drop(x, training=True)
    >>> with rows_from(2):
    ...     part = drop(x[2:], training=True)
    >>> bool(ops.all(part == whole[2:]))
    True
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(rate, seed=seed, **kwargs)

    @property
    def draws(self) -> bool:
        """Whether its seed moves on with the steps."""
        return bool(self.rate)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Drops in training; inputs `(rows, ...)`."""
        first = _first_row.get()
        if first is None or not training or not self.rate:
            return super().call(inputs, training=bool(training))
        if self.rate == 1:
            return ops.zeros_like(inputs)
        drawn = row_bits(self.seed_generator.state, first, ops.shape(inputs))
        kept = inputs / ops.cast(1 - self.rate, inputs.dtype)
        limit = round(self.rate * 2**32)
        return ops.where(drawn >= limit, kept, ops.zeros_like(inputs))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["noise_shape"]
        return config


def row_bits(seed: Any, first: Any, shape: Any) -> Any:
    """Returns `random_bits` of the backend: JAX has other ones.

    Example:

    >>> row_bits([1, 2], 0, (3, 5)).shape
    TensorShape([3, 5])
    """
    draw = _bits_in_jax if keras.backend.backend() == "jax" else random_bits
    return draw(seed, first, shape)


def random_bits(seed: Any, first: Any, shape: Any) -> Any:
    """Returns random integers for some rows of a larger batch.

    Integers, because XLA makes other fractions of the same bits.

    Args:
        seed: int `(2,)`.
        first: The first row's place in the batch.
        shape: Of the rows, `(rows, ...)`; dimensions may be tensors.

    Returns:
        uint32 of that shape, each value as likely as any other.

    Example:

    >>> whole = random_bits([1, 2], 0, (3, 5))
    >>> bool(ops.all(random_bits([1, 2], 2, (1, 5)) == whole[2:]))
    True
    """
    import tensorflow as tf

    rows, *others = shape
    size = 1
    for other in others:
        size = size * other
    groups = -(-size // GROUP)  # of a row; what is over is cut off
    start = tf.cast(first, tf.int64) * tf.cast(groups, tf.int64)
    counter = tf.stack([tf.cast(start, tf.uint64), tf.zeros((), tf.uint64)])
    full = tf.raw_ops.StatelessRandomUniformFullIntV2
    # Seeds of two steps are neighbours; as keys they must not be.
    key = full(
        shape=[1],
        key=tf.zeros((1,), tf.uint64),
        counter=tf.cast(seed, tf.uint64),
        alg=PHILOX,
        dtype=tf.uint64,
    )
    drawn = full(
        shape=tf.stack([rows, groups * GROUP]),
        key=key,
        counter=counter,
        alg=PHILOX,
        dtype=tf.uint32,
    )
    return tf.reshape(drawn[:, :size], shape)


def _bits_in_jax(seed: Any, first: Any, shape: Any) -> Any:
    """As `random_bits`, other numbers: a key for each row (Threefry).

    Row by row, so that devices draw for their own rows only.
    """
    import jax

    key = jax.random.wrap_key_data(
        ops.convert_to_tensor(seed, "uint32"), impl="threefry2x32"
    )
    rows = ops.arange(shape[0], dtype="int32") + first
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
    return jax.vmap(lambda key: jax.random.bits(key, shape[1:], "uint32"))(keys)
