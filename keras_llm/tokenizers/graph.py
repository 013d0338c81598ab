"""The graph engine: encode and decode with core TensorFlow operations only.

No custom operations, no lookup tables, no resources: what is exported with it
loads wherever TensorFlow does. It only holds constants, which a SavedModel
stores once however many signatures use them.
"""

import functools

import tensorflow as tf

from keras_llm.tokenizers.graph_compose import Composer
from keras_llm.tokenizers.graph_merge import merge, merge_constants
from keras_llm.tokenizers.graph_split import word_starts
from keras_llm.tokenizers.graph_text import END, class_constants, read
from keras_llm.tokenizers.graph_words import WholeWords, whole_first
from keras_llm.tokenizers.vocabulary import Vocabulary

_SHORT = 7
# What `_packed` makes of the byte that ends a text; such words have no ids.
_END_KEY = (1 << 56) | END


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
            classes = class_constants(self.vocabulary.rule)
            return classes | merge_constants(self.vocabulary)

    @functools.cached_property
    def _whole(self) -> WholeWords | None:
        unreached = [t for t, p in self.vocabulary.splits.items() if p is None]
        ids = {token: self.vocabulary.ranks[token] for token in unreached}
        return WholeWords(ids) if ids else None

    @functools.cached_property
    def _composer(self) -> Composer:
        return Composer()

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns int32 ids `(batch, None)` of strings `(batch,)`."""
        # Most of these operations are slow or missing on an accelerator.
        with tf.device("CPU"):
            return self._encode(strings)

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        if self.vocabulary.prefix_space:
            bare = (tf.strings.substr(strings, 0, 1) != " ") & (strings != "")
            spaced = tf.strings.join([" ", strings])
            strings = tf.where(bare, spaced, strings)
        joined, data, kinds = read(strings, self._constants)
        starts = tf.where(word_starts(data, kinds, self.vocabulary.rule))
        starts = tf.cast(starts[:, 0], tf.int32)
        lengths = tf.concat([starts[1:], [tf.size(data)]], 0) - starts
        words, count = _different(joined, data, starts, lengths)
        places = _examples(words, count, starts, lengths)
        ids, offsets, counts = self._encode_words(data, *places)
        if self._whole is not None:
            found = self._whole.find(tf.strings.substr(joined, *places))
            ids, offsets, counts = whole_first(found, ids, offsets, counts)
        offsets, counts = (tf.gather(x, words) for x in (offsets, counts))
        bounds = tf.concat([[0], tf.cumsum(counts)], 0)
        values = tf.gather(ids, _ranges(offsets, counts, bounds))
        ends = tf.where(tf.gather(data, starts) == END)[:, 0]
        rows = tf.gather(bounds, tf.concat([[0], ends + 1], 0))
        return tf.RaggedTensor.from_row_splits(
            values, tf.cast(rows, tf.int64), validate=False
        )

    def _encode_words(self, data, starts, lengths) -> tuple[tf.Tensor, ...]:
        """Returns the ids of all words; each one's offset and count in it."""
        places = tf.ragged.range(starts, starts + lengths).values
        data = tf.gather(data, places)
        stops = tf.cumsum(lengths)
        last = tf.scatter_nd(
            stops[:, None] - 1, tf.ones_like(stops), tf.shape(data)
        )
        ids = merge(data, last > 0, self._constants)
        kept = (ids >= 0) & (data != END)
        before = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int32))], 0)
        offsets = tf.gather(before, stops - lengths)
        counts = tf.gather(before, stops) - offsets
        return tf.gather_nd(ids, tf.where(kept)), offsets, counts

    def normalize(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns the texts as they are split, `(batch,)`."""
        if self.vocabulary.normalizer is None:
            return strings
        with tf.device("CPU"):
            return self._composer.compose(strings)


def _different(joined, data, starts, lengths) -> tuple[tf.Tensor, tf.Tensor]:
    """Numbers the different words, so that each is encoded once.

    Up to 7 bytes and the length are packed into one integer, which is far
    faster to compare than a string. Longer words are rare.

    Returns:
        The number of each word, and how many there are.
    """
    short = lengths <= _SHORT
    keys = tf.where(short, _packed(data, starts, lengths), _END_KEY)
    keys, words = tf.unique(keys)
    long = tf.where(~short)
    texts = tf.strings.substr(
        joined, tf.gather_nd(starts, long), tf.gather_nd(lengths, long)
    )
    texts, numbers = tf.unique(texts)
    words = tf.tensor_scatter_nd_update(words, long, numbers + tf.size(keys))
    return words, tf.size(keys) + tf.size(texts)


def _packed(data, starts, lengths) -> tf.Tensor:
    """Returns the first 7 bytes of each word and its length as one integer.

    All 8 bytes from the start of a word are read at once, out of the two
    blocks of 8 bytes they lie in. A shift by 64 is undefined; so shifts that
    may be that long go in two steps.
    """
    padded = tf.pad(data, [[0, 8 + (-tf.size(data)) % 8]])
    blocks = tf.bitcast(tf.reshape(padded, [-1, 8]), tf.uint64)
    block, step = starts // 8, tf.cast(starts % 8 * 8, tf.uint64)
    low = _right(tf.gather(blocks, block), step)
    high = _left(_left(tf.gather(blocks, block + 1), 63 - step), 1)
    # Bytes beyond the word leave at the top.
    size = tf.minimum(lengths, _SHORT)
    half = tf.cast(32 - 4 * size, tf.uint64)
    word = _left(_left(tf.bitwise.bitwise_or(low, high), half), half)
    word = _right(_right(word, half), half)
    size = _left(tf.cast(size, tf.uint64), 56)
    return tf.bitcast(tf.bitwise.bitwise_or(word, size), tf.int64)


_left, _right = tf.bitwise.left_shift, tf.bitwise.right_shift


def _examples(words, count, starts, lengths) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where each different word stands: one of its places."""
    order = tf.range(tf.size(words))
    example = tf.tensor_scatter_nd_update(
        tf.zeros([count], tf.int32), words[:, None], order
    )
    return tf.gather(starts, example), tf.gather(lengths, example)


def _ranges(offsets, counts, bounds) -> tf.Tensor:
    """Returns offset, offset + 1, ... of each word, one after another.

    One step forward everywhere, and the jump from word to word where a new
    one starts; jumps of words without ids add up at the same place.
    """
    stops = tf.concat([[0], (offsets + counts)[:-1]], 0)
    steps = tf.ones([bounds[-1] + 1], tf.int32)
    steps = tf.tensor_scatter_nd_add(steps, bounds[:-1, None], offsets - stops)
    return (tf.cumsum(steps) - 1)[:-1]
