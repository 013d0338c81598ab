"""A shuffled `tf.data` pipeline that resumes at any step exactly.

The order is a pure function of (seed, epoch, index): nothing is buffered and
no state is kept, so starting at step N costs the same as starting at 0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_llm.data.array_rows import ArrayRows
from keras_llm.data.arrays import NO_ROW
from keras_llm.data.hold_out import check_seed
from keras_llm.data.rows import Rows
from keras_llm.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

# First word of the cipher's key, to keep this use apart from others.
_KEY = 0x6B657261
_ROUNDS = 8
_NO_END = 2**62


def row_dataset(
    rows: Rows | ArrayRows,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    epochs: int | None = None,
    shuffle: bool = True,
    part: int = 0,
    parts: int = 1,
    sizes: Sequence[tuple[int, int]] = (),
    prefetch: int | None = None,
) -> "tf.data.Dataset":
    """Returns batches of packed rows for `model.fit`.

    In every epoch each row comes exactly once, in another order; batches run
    across the border of two epochs, so all have the same shape and no row is
    lost. After `epochs` epochs the last batch is filled up with empty rows
    (segment 0, weight 0), so that evaluation sees each row once as well.

    Args:
        rows: From `open_rows`, or rows in memory. A `Mixture` keeps its own
            order, and without `epochs` goes on in it past its length.
        batch_size: Rows per batch.
        seed: Decides the order, 0 to 2**32 - 1.
        start_step: Number of batches to leave out, for resuming: the first
            batch is the one an uninterrupted run takes at this step.
        epochs: How often all rows are given; None for without end.
        shuffle: False gives the rows in the order of the files.
        part: Which part of each batch to give, from 0: the share of one
            process or device. Only its rows are read.
        parts: Into how many parts of equal size a batch is cut, in order.
            Where that leaves a remainder, empty rows fill up the last ones.
            However many there are, together they give the same batches.
        sizes: For batches that grow: pairs of the first step, ascending from
            0, and the rows that batches have from it on. Up to batch_size
            they are filled up with empty rows. Without `epochs` only.
        prefetch: Batches made ahead of the one that is asked for. Default:
            None, `tf.data` decides.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets, weights)` as described in
        `training_arrays`, with static shapes (ceil(batch_size / parts),
        context_length); of rows in memory, their own arrays.
        Pass `shuffle=False` to `model.fit`: Keras cannot know that it is
        shuffled and warns otherwise.

    Raises:
        InputError: A number is out of range.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, open_rows, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("a rose is a rose", "stein.txt")]
    >>> tokenizer = HostTokenizer.train([documents[0].text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=8)
    >>> dataset = row_dataset(open_rows(folder), batch_size=2, start_step=100)
    >>> inputs, targets, weights = next(iter(dataset))
    >>> inputs["positions"].shape
    TensorShape([2, 8])
    """
    import tensorflow as tf

    _check(len(rows), batch_size, seed, start_step, epochs)
    size = _part_size(batch_size, part, parts)
    steps = _steps(len(rows), batch_size, epochs)
    shuffle = shuffle and not rows.ordered
    number = _NO_END if rows.ordered and epochs is None else len(rows)

    def indices(step: "tf.Tensor") -> "tf.Tensor":
        order = _order(step, batch_size, number, seed, epochs, shuffle, sizes)
        missing = [[0, size * parts - batch_size]]
        whole = tf.pad(order, missing, constant_values=NO_ROW)
        return whole[part * size : (part + 1) * size]

    empty = rows.batch(np.empty(0, np.int64))  # says dtypes and shapes

    def gather(indices: np.ndarray) -> list[np.ndarray]:
        return tf.nest.flatten(rows.batch(indices))

    def batch(step: "tf.Tensor") -> tuple:
        types = [array.dtype for array in tf.nest.flatten(empty)]
        arrays = tf.numpy_function(gather, [indices(step)], types)
        for array, like in zip(arrays, tf.nest.flatten(empty), strict=True):
            array.set_shape((size, *like.shape[1:]))
        return tf.nest.pack_sequence_as(empty, arrays)

    last = np.iinfo(np.int64).max if steps is None else steps
    dataset = tf.data.Dataset.range(start_step, max(start_step, last)).map(
        batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    if steps is None:
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(
                tf.data.INFINITE_CARDINALITY
            )
        )
    return dataset.prefetch(tf.data.AUTOTUNE if prefetch is None else prefetch)


def row_indices(
    step: int,
    batch_size: int,
    num_rows: int,
    seed: int = 0,
    epochs: int | None = None,
    shuffle: bool = True,
) -> np.ndarray:
    """Returns which rows `row_dataset` gives at `step`.

    Returns:
        int64, (batch_size,); -1 for the empty rows after the last epoch.

    Raises:
        InputError: A number is out of range.

    Example:

    >>> epoch = [row_indices(step, 2, num_rows=4, seed=1) for step in (0, 1)]
    >>> sorted(np.concatenate(epoch).tolist())
    [0, 1, 2, 3]
    """
    import tensorflow as tf

    _check(num_rows, batch_size, seed, step, epochs)
    at = tf.constant(step, tf.int64)
    order = _order(at, batch_size, num_rows, seed, epochs, shuffle)
    return np.asarray(order)


def _order(
    step: "tf.Tensor",
    batch_size: int,
    num_rows: int,
    seed: int,
    epochs: int | None,
    shuffle: bool,
    sizes: Sequence[tuple[int, int]] = (),
) -> "tf.Tensor":
    """Returns the rows of one batch as int64, (batch_size,).

    The order within an epoch is the permutation of a small block cipher
    with the key (constant, seed, epoch); see `tf.random.experimental.
    index_shuffle`, which in TF 2.21 fails for one seed per element, hence
    the raw op. Its default of 4 rounds leaves neighbours together twice as
    often as chance; 8 do not.
    """
    import tensorflow as tf

    first, count = _span(step, sizes or ((0, batch_size),))
    column = tf.range(batch_size, dtype=tf.int64)
    places = first + column
    epoch, index = places // num_rows, places % num_rows
    if shuffle:
        key = tf.stack(
            [
                tf.fill((batch_size,), tf.constant(_KEY, tf.int64)),
                tf.fill((batch_size,), tf.constant(seed, tf.int64)),
                epoch,
            ],
            axis=1,
        )
        index = tf.raw_ops.RandomIndexShuffle(
            index=index,
            seed=key,
            max_index=tf.constant(num_rows - 1, tf.int64),
            rounds=_ROUNDS,
        )
    nothing = tf.constant(NO_ROW, tf.int64)
    if sizes:
        index = tf.where(column < count, index, nothing)
    if epochs is not None:
        index = tf.where(places < epochs * num_rows, index, nothing)
    return tf.ensure_shape(index, (batch_size,))


def _span(
    step: "tf.Tensor", sizes: Sequence[tuple[int, int]]
) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Returns the first place of a step and the number of its rows."""
    import tensorflow as tf

    begins, counts = np.array(sizes, np.int64).T
    passed = np.cumsum(np.diff(begins, append=begins[-1]) * counts)
    firsts = np.concatenate([[0], passed[:-1]])
    at = tf.searchsorted(begins, [step], side="right")[0] - 1
    begin, count, first = (
        tf.gather(tf.constant(table), at) for table in (begins, counts, firsts)
    )
    return first + (step - begin) * count, count


def _steps(num_rows: int, batch_size: int, epochs: int | None) -> int | None:
    """Returns how many batches hold all epochs; None for without end."""
    return None if epochs is None else -(-epochs * num_rows // batch_size)


def _part_size(batch_size: int, part: int, parts: int) -> int:
    """Returns the rows in each part of a batch."""
    if not 0 <= part < parts:
        raise InputError(
            f"Expected 0 <= part < parts. Received: part={part}, parts={parts}."
        )
    return -(-batch_size // parts)


def _check(
    num_rows: int, batch_size: int, seed: int, step: int, epochs: int | None
) -> None:
    """Refuses numbers that no batch can be made of."""
    check_seed(seed)
    if min(num_rows, batch_size, 1 if epochs is None else epochs) < 1:
        raise InputError(
            "Expected at least one row, batch_size >= 1 and epochs >= 1 or "
            f"None. Received: {num_rows} rows, batch_size={batch_size}, "
            f"epochs={epochs}."
        )
    if step < 0:
        raise InputError(f"Expected a step >= 0. Received: {step}.")
