"""Tokens that no merge reaches: found in the graph as whole words.

Core TensorFlow operations only; no lookup tables.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_llm.errors import InputError

_BUCKETS = 2**62


class WholeWords:
    """Finds words that are tokens.

    Args:
        ids: The id of each token by its bytes; at least one.

    Raises:
        InputError: Two tokens have the same 62-bit hash.

    Example:

    >>> WholeWords({b"ab": 7}).find(tf.constant(["ab", "b"])).numpy().tolist()
    [7, -1]
    """

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        """Sorts the tokens by their hashes."""
        tokens = list(ids)
        with tf.init_scope(), tf.device("CPU"):
            hashes = _hashes(tf.constant(tokens)).numpy()
            order = np.argsort(hashes)
            if len(np.unique(hashes)) < len(tokens):
                raise InputError(
                    "Expected tokens of different hashes. Received: two with "
                    "the same, by a rare accident. Encode on the host instead."
                )
            self._hashes = tf.constant(hashes[order])
            self._tokens = tf.constant([tokens[i] for i in order])
            values = np.array([ids[token] for token in tokens], "int32")
            self._ids = tf.constant(values[order])

    def find(self, words: tf.Tensor) -> tf.Tensor:
        """Returns the ids of words `(count,)`; -1 for what is no token."""
        at = tf.searchsorted(self._hashes, _hashes(words))
        at = tf.minimum(at, tf.size(self._ids) - 1)
        same = tf.gather(self._tokens, at) == words
        return tf.where(same, tf.gather(self._ids, at), -1)


def _hashes(words: tf.Tensor) -> tf.Tensor:
    """FarmHash's fingerprint, which is the same everywhere and for good."""
    return tf.strings.to_hash_bucket_fast(words, _BUCKETS)


def whole_first(
    found: tf.Tensor, ids: tf.Tensor, offsets: tf.Tensor, counts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Puts whole words in the place of what merging made of them.

    Args:
        found: Each word's id as a whole, or -1.
        ids: The ids of all words.
        offsets: Where each word's ids start in them.
        counts: How many they are.

    Returns:
        `ids`, `offsets` and `counts` with the whole words.
    """
    whole = found >= 0
    order = tf.cumsum(tf.cast(whole, tf.int32)) - 1
    offsets = tf.where(whole, tf.size(ids) + order, offsets)
    counts = tf.where(whole, tf.ones_like(counts), counts)
    return tf.concat([ids, tf.boolean_mask(found, whole)], 0), offsets, counts
