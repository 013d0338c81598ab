"""Rows tokenized on the fly, as a graph that other machines can run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


def text_rows(
    files: Sequence[str | os.PathLike],
    tokenizer: Any,
    context_length: int,
) -> "tf.data.Dataset":
    """Returns rows of text files, in which each line is a document.

    Nothing but graph operations, so `from_service` can have it computed on
    other machines, which must see the files under the same names. A document
    is cut into rows; each of its tokens after the first is a target once.
    Rows are not packed: short documents leave padding.

    Args:
        files: UTF-8 text files.
        tokenizer: A tokenizer as a Keras layer; its `bos_id` and `eos_id`,
            where it has them, begin and end a document.
        context_length: Tokens that a model sees per row.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets, weights)` as described in
        `training_arrays`, for single rows: shapes (context_length,).

    Raises:
        InputError: A file is missing, or a number is out of range.

    Example:

    >>> import tempfile
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 263)
    >>> file = Path(tempfile.mkdtemp()) / "stein.txt"
    >>> _ = file.write_text("a rose is a rose")
    >>> inputs, targets, weights = next(iter(text_rows([file], tokenizer, 8)))
    >>> inputs["positions"].numpy().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    import tensorflow as tf

    names = [str(file) for file in files]
    missing = [name for name in names if not Path(name).is_file()]
    if missing or not names or context_length < 1:
        raise InputError(
            "Expected text files and context_length >= 1. Received: "
            f"{len(names)} files, of which {len(missing)} are missing "
            f"({', '.join(missing[:3])}), context_length={context_length}."
        )
    first, last = (
        tf.constant([] if end is None else [end], tf.int32)
        for end in (tokenizer.bos_id, tokenizer.eos_id)
    )

    def rows(line: "tf.Tensor") -> "tf.data.Dataset":
        ids = tf.concat([first, tokenizer(line), last], 0)
        return tf.data.Dataset.from_tensor_slices(_cut(ids, context_length))

    lines = tf.data.Dataset.from_tensor_slices(names).flat_map(
        tf.data.TextLineDataset
    )
    written = lines.filter(lambda line: tf.strings.length(line) > 0)
    return written.flat_map(rows)


def _cut(ids: "tf.Tensor", context_length: int) -> tuple:
    """Rows of one document, each beginning with the last token before."""
    import tensorflow as tf

    length = tf.size(ids)
    count = -(-(length - 1) // context_length)
    begins = tf.range(count)[:, None] * context_length
    places = begins + tf.range(context_length + 1)
    padded = tf.pad(ids, [[0, count * context_length + 1 - length]])
    tokens = tf.gather(padded, places)
    here = places < length
    columns = tf.broadcast_to(tf.range(context_length), tf.shape(places[:, 1:]))
    segments = tf.cast(here[:, :-1], tf.int32)
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": columns * segments,
        "segments": segments,
    }
    shape = (None, context_length)
    weights = tf.cast(here[:, 1:], tf.float32)
    return tf.nest.map_structure(
        lambda x: tf.ensure_shape(x, shape), (inputs, tokens[:, 1:], weights)
    )
