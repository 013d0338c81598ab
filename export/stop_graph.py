"""Stop strings in the graph: where each text ends by its own list of them."""

from typing import Any

import tensorflow as tf

from keras_llm.stopping import SEPARATOR


def stop_lists(stop: tf.Tensor) -> tf.RaggedTensor:
    """Returns the stop strings of every row, ragged `(rows, None)`.

    Args:
        stop: string `(rows,)`: stop strings with `SEPARATOR` between them;
            an empty string is none.

    Example:

    >>> stop_lists(tf.constant(["END\\x1f.", ""])).to_list()
    [[b'END', b'.'], []]
    """
    found = tf.strings.split(stop, SEPARATOR)
    return tf.ragged.boolean_mask(found, found != "")


def first_stop(
    texts: tf.Tensor, stops: tf.RaggedTensor, tail: Any = None
) -> tf.Tensor:
    """Returns the byte at which the first stop string of each text begins.

    Args:
        texts: string `(rows,)`.
        stops: As from `stop_lists`; none of them empty.
        tail: How many bytes at the end of the text are new, so that a stop
            string must end in them; None for all.

    Returns:
        int32 `(rows,)`; the length of the text where there is none.

    Example:

    >>> stops = stop_lists(tf.constant(["END\\x1f.", ""]))
    >>> first_stop(tf.constant(["one. END", "two."]), stops).numpy()
    array([3, 4], dtype=int32)
    """
    rows, stop = stops.value_rowids(), stops.values
    pairs = tf.gather(texts, rows)
    wide = tf.strings.length(stop)
    last = tf.strings.length(pairs) - wide  # below 0: the text is too short
    begin = tf.zeros_like(last)
    if tail is not None:
        begin = tf.maximum(last - tail, 0)
    count = tf.maximum(tf.reduce_max(tf.pad(last - begin, [[0, 1]])) + 1, 1)
    places = begin[:, None] + tf.range(count)
    places = tf.minimum(places, tf.maximum(last, 0)[:, None])
    wide = tf.repeat(wide[:, None], count, axis=1)
    same = tf.strings.substr(pairs[:, None], places, wide) == stop[:, None]
    place = tf.gather(places, tf.argmax(same, axis=1), batch_dims=1)
    place = tf.where(tf.reduce_any(same, axis=1), place, tf.int32.max)
    size = tf.shape(texts)[0]
    earliest = tf.math.unsorted_segment_min(place, rows, size)
    return tf.minimum(earliest, tf.strings.length(texts))


def after_mark(texts: tf.Tensor, mark: str | None) -> tf.Tensor:
    """Returns what stands after a mark; nothing where there is none.

    Args:
        texts: string `(rows,)`.
        mark: The mark, or None for the whole texts.

    Example:

    >>> after_mark(tf.constant(["a<>b", "ab"]), "<>").numpy().tolist()
    [b'b', b'']
    """
    if mark is None:
        return texts
    marks = tf.fill(tf.shape(texts), mark)
    at = first_stop(texts, tf.RaggedTensor.from_tensor(marks[:, None]))
    size = tf.strings.length(texts)
    at = tf.minimum(at + len(mark.encode()), size)
    return tf.strings.substr(texts, at, size - at)
