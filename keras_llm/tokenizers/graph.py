"""The graph engine: encode and decode with core TensorFlow operations only.

No custom operations, no lookup tables, no resources: what is exported with it
loads wherever TensorFlow does. It only holds constants, which a SavedModel
stores once however many signatures use them.
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.tokenizers.graph_merge import merge, merge_constants
from keras_llm.tokenizers.graph_split import word_starts
from keras_llm.tokenizers.graph_text import END, class_constants, read
from keras_llm.tokenizers.vocabulary import Vocabulary

_SHORT, _MEDIUM = 7, 15


class GraphEngine:
    """Encodes and decodes inside of any `tf.function`.

    Args:
        vocabulary: The tokens and the split rule.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Builds nothing yet; the constants are made when first used."""
        self.vocabulary = vocabulary

    @functools.cached_property
    def _constants(self) -> dict[str, tf.Tensor]:
        with tf.init_scope(), tf.device("CPU"):
            return class_constants() | merge_constants(self.vocabulary)

    @functools.cached_property
    def _tokens(self) -> tf.Tensor:
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant([t or b"" for t in self.vocabulary.table])

    @functools.cached_property
    def _is_special(self) -> tf.Tensor:
        special = np.zeros(self.vocabulary.size, bool)
        special[[*self.vocabulary.special_tokens.values()]] = True
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(special)

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns int32 ids `(batch, None)` of strings `(batch,)`."""
        data, kinds = read(strings, self._constants)
        starts = tf.where(word_starts(data, kinds, self.vocabulary.rule))
        starts = tf.cast(starts[:, 0], tf.int32)
        lengths = tf.concat([starts[1:], [tf.size(data)]], 0) - starts
        ids, offsets, counts, words = self._unique(data, starts, lengths)
        offsets, counts = (tf.gather(x, words) for x in (offsets, counts))
        bounds = tf.concat([[0], tf.cumsum(counts)], 0)
        values = tf.gather(ids, _ranges(offsets, counts, bounds))
        ends = tf.where(tf.gather(data, starts) == END)[:, 0]
        rows = tf.gather(bounds, tf.concat([[0], ends + 1], 0))
        return tf.RaggedTensor.from_row_splits(
            values, tf.cast(rows, tf.int64), validate=False
        )

    def _unique(self, data, starts, lengths) -> tuple[tf.Tensor, ...]:
        """Encodes every different word once.

        Returns:
            Ids of all different words; for each different word the offset of
            its ids and their number; for each word which one it is.
        """
        groups = _groups(data, starts, lengths)
        flat = tf.concat([data for _, _, data, _ in groups], 0)
        sizes = tf.concat([sizes for _, _, _, sizes in groups], 0)
        which, count = [], 0
        for _, index, _, sizes_of in groups:
            which.append(index + count)
            count += tf.size(sizes_of)
        words = tf.dynamic_stitch([at for at, *_ in groups], which)
        stops = tf.cumsum(sizes)
        last = tf.scatter_nd(
            stops[:, None] - 1, tf.ones_like(stops), tf.shape(flat)
        )
        ids = merge(flat, last > 0, self._constants)
        kept = (ids >= 0) & (flat != END)
        before = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int32))], 0)
        offsets = tf.gather(before, stops - sizes)
        counts = tf.gather(before, stops) - offsets
        return tf.boolean_mask(ids, kept), offsets, counts, words

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> tf.Tensor:
        """Returns strings `(batch,)` of ids `(batch, time)`, -1 skipped."""
        if isinstance(ids, tf.RaggedTensor):
            values = self._pieces(ids.values, skip_special_tokens)
            joined = tf.strings.reduce_join(ids.with_values(values), axis=-1)
        else:
            pieces = self._pieces(ids, skip_special_tokens)
            joined = tf.strings.reduce_join(pieces, axis=-1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8")

    def _pieces(self, ids: tf.Tensor, skip_special_tokens: bool) -> tf.Tensor:
        shown = ids != -1
        ids = tf.where(shown, ids, 0)
        if skip_special_tokens:
            shown &= ~tf.gather(self._is_special, ids)
        return tf.where(shown, tf.gather(self._tokens, ids), "")


def _groups(data, starts, lengths) -> list[tuple[tf.Tensor, ...]]:
    """Finds the different words among short, medium and long ones.

    Bytes are packed into integers, which are far faster to compare than
    strings: 7 bytes and the length in one, 15 bytes in two. Longer words are
    rare and stay as they are.

    Returns:
        For each group: which words it has, for each of these the number of
        its different word, the bytes of the different words, their lengths.
    """
    short = tf.where(lengths <= _SHORT)[:, 0]
    medium = tf.where((lengths > _SHORT) & (lengths <= _MEDIUM))[:, 0]
    long = tf.where(lengths > _MEDIUM)[:, 0]
    blocks = _blocks(data)
    return [
        _short(blocks, *_pick(short, starts, lengths)),
        _medium(blocks, *_pick(medium, starts, lengths)),
        _long(data, *_pick(long, starts, lengths)),
    ]


def _pick(at, starts, lengths) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    at = tf.cast(at, tf.int32)
    return at, tf.gather(starts, at), tf.gather(lengths, at)


def _blocks(data: tf.Tensor) -> tf.Tensor:
    """Returns the bytes, eight in a uint64, with two more blocks of zeros."""
    padded = tf.pad(data, [[0, 16 + (-tf.size(data)) % 8]])
    return tf.bitcast(tf.reshape(padded, [-1, 8]), tf.uint64)


def _window(blocks: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Returns the eight bytes from `at` on, as one integer."""
    low = tf.gather(blocks, at // 8)
    high = tf.gather(blocks, at // 8 + 1)
    step = tf.cast(at % 8 * 8, tf.uint64)
    # Shifting by 64 is undefined: shift by 63 - step, and then by one.
    high = tf.bitwise.left_shift(tf.bitwise.left_shift(high, 63 - step), 1)
    return tf.bitwise.bitwise_or(tf.bitwise.right_shift(low, step), high)


def _packed(window: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Keeps the first `lengths` (up to 7) bytes; the length takes the last."""
    drop = tf.cast(64 - 8 * lengths, tf.uint64)
    # A length of 0 would shift by 64.
    half = drop // 2
    window = tf.bitwise.left_shift(window, half)
    window = tf.bitwise.left_shift(window, drop - half)
    window = tf.bitwise.right_shift(window, half)
    window = tf.bitwise.right_shift(window, drop - half)
    size = tf.bitwise.left_shift(tf.cast(lengths, tf.uint64), 56)
    return tf.bitcast(tf.bitwise.bitwise_or(window, size), tf.int64)


def _bytes(keys: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(keys, tf.uint8)


def _trimmed(rows: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Returns the first `sizes` bytes of each row, one row after another."""
    return tf.boolean_mask(rows, tf.sequence_mask(sizes, tf.shape(rows)[1]))


def _short(blocks, at, starts, lengths) -> tuple[tf.Tensor, ...]:
    keys, index = tf.unique(_packed(_window(blocks, starts), lengths))
    rows = _bytes(keys)
    sizes = tf.cast(rows[:, 7], tf.int32)
    return at, index, _trimmed(rows, sizes), sizes


def _medium(blocks, at, starts, lengths) -> tuple[tf.Tensor, ...]:
    head = tf.bitcast(_window(blocks, starts), tf.int64)
    tail = _packed(_window(blocks, starts + 8), lengths - 8)
    heads, head = tf.unique(head, tf.int64)
    tails, tail = tf.unique(tail, tf.int64)
    pairs, index = tf.unique(head * 2**32 + tail)
    head = _bytes(tf.gather(heads, pairs // 2**32))
    tail = _bytes(tf.gather(tails, pairs % 2**32))
    sizes = tf.cast(tail[:, 7], tf.int32) + 8
    return at, index, _trimmed(tf.concat([head, tail], 1), sizes), sizes


def _long(data, at, starts, lengths) -> tuple[tf.Tensor, ...]:
    places = tf.ragged.range(starts, starts + lengths).values
    return at, tf.range(tf.size(at)), tf.gather(data, places), lengths


def _ranges(offsets, counts, bounds) -> tf.Tensor:
    """Returns offset, offset + 1, ... of each word, one after another.

    One step forward everywhere, and the jump from word to word where a new
    one starts; jumps of words without ids add up at the same place.
    """
    stops = tf.concat([[0], (offsets + counts)[:-1]], 0)
    steps = tf.ones([bounds[-1] + 1], tf.int32)
    steps = tf.tensor_scatter_nd_add(steps, bounds[:-1, None], offsets - stops)
    return (tf.cumsum(steps) - 1)[:-1]
