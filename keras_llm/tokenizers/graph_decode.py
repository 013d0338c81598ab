"""Decoding in the graph: ids to text with core TensorFlow operations only."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.tokenizers.base import Pieces
from keras_llm.tokenizers.byte_text import EACH_BYTE
from keras_llm.tokenizers.graph_text import valid_bytes


class GraphDecoder:
    """Decodes inside of any `tf.function`.

    Args:
        pieces: What the ids spell.
        special_ids: The ids that `skip_special_tokens` leaves out.
    """

    def __init__(self, pieces: Pieces, special_ids: Sequence[int]) -> None:
        """Builds nothing yet; the constants are made when first used."""
        self._pieces, self._special_ids = pieces, list(special_ids)

    @functools.cached_property
    def _table(self) -> tf.Tensor:
        return _constant([piece or b"" for piece in self._pieces.table])

    @functools.cached_property
    def _differs(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Which ids spell something else at the start, and what."""
        pairs = zip(self._pieces.table, self._pieces.first, strict=True)
        found = [i for i, (a, b) in enumerate(pairs) if a != b]
        return _constant(np.array(found, "int32")), _constant(
            [self._pieces.first[i] or b"" for i in found]
        )

    @functools.cached_property
    def _is_special(self) -> tf.Tensor:
        special = np.zeros(len(self._pieces.table), bool)
        special[self._special_ids] = True
        return _constant(special)

    @functools.cached_property
    def _is_known(self) -> tf.Tensor | None:
        known = [piece is not None for piece in self._pieces.table]
        return None if all(known) else _constant(known)

    def has_token(self, ids: tf.Tensor) -> tf.Tensor:
        """Says which ids have a token."""
        size = len(self._pieces.table)
        inside = (ids >= 0) & (ids < size)
        if self._is_known is None:
            return inside
        return inside & tf.gather(self._is_known, tf.where(inside, ids, 0))

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> tf.Tensor:
        """Returns strings `(batch,)` of ids `(batch, time)`, -1 skipped."""
        if not isinstance(ids, tf.RaggedTensor) and ids.shape.rank == 1:
            return self.decode(ids[None], skip_special_tokens)[0]
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids, row_splits_dtype=tf.int64)
        shown = ids.values != -1
        values = tf.where(shown, ids.values, 0)
        if skip_special_tokens:
            shown &= ~tf.gather(self._is_special, values)
        texts = tf.gather(self._table, values)
        if self._differs[0].shape[0]:
            starts = self._starts(values, ids.row_splits, shown)
            texts = self._at_start(texts, values, starts)
        texts = tf.where(shown, texts, "")
        joined = tf.strings.reduce_join(ids.with_values(texts), axis=-1)
        if self._pieces.errors == EACH_BYTE:
            joined = each_byte(joined)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8")

    def _starts(self, values, splits, shown) -> tf.Tensor:
        """Marks the shown ids that no text stands before."""
        counts = shown
        if self._pieces.waits:
            texts = tf.gather(self._table, values)
            texts = self._at_start(texts, values, tf.ones_like(shown))
            counts &= texts != ""
        before = tf.cumsum(tf.cast(counts, tf.int32))
        before = tf.concat([[0], before], 0)
        at_row = tf.repeat(
            tf.gather(before, splits[:-1]), splits[1:] - splits[:-1]
        )
        return shown & (before[:-1] == at_row)

    def _at_start(self, texts, values, starts) -> tf.Tensor:
        ids, first = self._differs
        at = tf.where(starts)
        chosen = tf.gather_nd(values, at)
        place = tf.minimum(tf.searchsorted(ids, chosen), tf.size(ids) - 1)
        new = tf.where(
            tf.gather(ids, place) == chosen,
            tf.gather(first, place),
            tf.gather_nd(texts, at),
        )
        return tf.tensor_scatter_nd_update(texts, at, new)


def each_byte(strings: tf.Tensor) -> tf.Tensor:
    """Replaces each broken byte of strings `(batch,)` by one U+FFFD."""
    ended = tf.strings.join([strings, b"\xff"])
    data = tf.io.decode_raw(tf.strings.reduce_join(ended), tf.uint8)
    valid = valid_bytes(data)
    lengths = tf.strings.length(strings)

    def repaired() -> tf.Tensor:
        # Ends, of which each text has one at its known place, go again.
        ends = tf.cumsum(lengths + 1) - 1
        is_end = tf.scatter_nd(
            ends[:, None], tf.ones_like(ends), tf.shape(data)
        )
        kept = tf.where(is_end == 0)[:, 0]
        table = [bytes([byte]) for byte in range(256)]
        texts = tf.gather(_constant(table), tf.cast(data, tf.int32))
        texts = tf.where(valid, texts, b"\xef\xbf\xbd")
        rows = tf.RaggedTensor.from_row_lengths(
            tf.gather(texts, kept), tf.cast(lengths, tf.int64), validate=False
        )
        return tf.strings.reduce_join(rows, axis=-1)

    broken = tf.math.count_nonzero(~valid) > tf.size(strings, tf.int64)
    return tf.cond(broken, repaired, lambda: strings)


def _constant(value: Any) -> tf.Tensor:
    with tf.init_scope(), tf.device("CPU"):
        return tf.constant(value)
