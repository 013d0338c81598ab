"""Unicode's composed form (NFC) in the graph.

Core TensorFlow operations only. Most texts are in this form already; then
only that is found out.

Source: Unicode Standard Annex 15, https://unicode.org/reports/tr15/.
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.tokenizers.compose_tables import SHIFT, compose_tables

_BLOCK = 256
_LEVELS = ("classes", "joins", "unsafe")  # for every code point


class Composer:
    """Composes texts inside of any `tf.function`.

    Example:

    >>> Composer().compose(tf.constant(["e\\u0301"])).numpy()[0].decode()
    'é'
    """

    @functools.cached_property
    def _tables(self) -> dict[str, tf.Tensor]:
        tables = compose_tables()
        constants: dict[str, Any] = {
            name: getattr(tables, name)
            for name in ("whole", "part_splits", "parts", "pairs", "joined")
        }
        for name in _LEVELS:
            flat = getattr(tables, name).reshape(-1, _BLOCK)
            rows, blocks = np.unique(flat, axis=0, return_inverse=True)
            constants[name] = rows.reshape(-1).astype("uint8")
            constants[f"{name}_blocks"] = blocks.reshape(-1).astype("uint8")
        with tf.init_scope(), tf.device("CPU"):
            return {k: tf.constant(v) for k, v in constants.items()}

    def compose(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns the texts `(batch,)` in composed form.

        Broken UTF-8 is repaired in texts that change.
        """
        joined = tf.strings.reduce_join(strings)
        # Characters below U+0300, whose first byte is below 0xCC, are safe.
        high = tf.io.decode_raw(joined, tf.uint8) >= 0xCC
        return tf.cond(
            tf.reduce_any(high),
            lambda: self._compose_if_needed(strings),
            lambda: strings,
        )

    def _compose_if_needed(self, strings: tf.Tensor) -> tf.Tensor:
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8")
        points = tf.strings.unicode_decode(strings, "UTF-8")
        values, splits = points.values, points.row_splits

        def composed() -> tf.Tensor:
            parts, bounds = self._decompose(values, splits)
            rows = self._join(self._order(parts, bounds), bounds)
            return tf.strings.unicode_encode(rows, "UTF-8")

        unsafe = self._look_up("unsafe", values) > 0
        return tf.cond(tf.reduce_any(unsafe), composed, lambda: strings)

    def _look_up(self, name: str, points: tf.Tensor) -> tf.Tensor:
        blocks = tf.gather(self._tables[f"{name}_blocks"], points // _BLOCK)
        at = tf.cast(blocks, tf.int32) * _BLOCK + points % _BLOCK
        return tf.cast(tf.gather(self._tables[name], at), tf.int32)

    def _decompose(self, points, splits) -> tuple[tf.Tensor, tf.Tensor]:
        """Replaces each character by its parts; returns new row splits."""
        tables, at = self._tables, _find(self._tables["whole"], points)
        found = at >= 0
        start = tf.gather(tables["part_splits"], tf.maximum(at, 0))
        stop = tf.gather(tables["part_splits"], tf.maximum(at, 0) + 1)
        # A character without parts is its own: the list goes on with them.
        parts = tf.concat([tables["parts"], points], 0)
        own = tf.size(tables["parts"]) + tf.range(tf.size(points))
        start = tf.where(found, start, own)
        stop = tf.where(found, stop, own + 1)
        places = tf.ragged.range(start, stop).values
        bounds = tf.concat([[0], tf.cumsum(stop - start)], 0)
        return tf.gather(parts, places), tf.gather(bounds, splits)

    def _order(self, points, splits) -> tf.Tensor:
        """Sorts the marks after each starter by their class, stably."""
        classes = self._look_up("classes", points)
        begins = _marks(splits[:-1], tf.size(points))
        group = tf.cumsum(tf.cast((classes == 0) | begins, tf.int32))
        order = tf.argsort(group * 256 + classes, stable=True)
        return tf.gather(points, order)

    def _join(self, points, splits) -> tf.RaggedTensor:
        """Joins each starter with what follows it, as the standard says.

        A group is a starter that joins nothing before it, and all up to the
        next of this kind. Groups do not know of each other; each round takes
        one more character of every group, from left to right.
        """
        size = tf.size(points)
        classes = self._look_up("classes", points)
        heads = (classes == 0) & (self._look_up("joins", points) == 0)
        heads |= _marks(splits[:-1], size)
        start = tf.cast(tf.where(heads)[:, 0], tf.int32)
        stop = tf.concat([start[1:], [size]], 0)
        more = tf.where(stop - start > 1)
        start, stop = tf.gather_nd(start, more), tf.gather_nd(stop, more)
        nothing = tf.fill(tf.shape(start), -1)
        flat, groups = (tf.TensorShape([None]),) * 2
        points, kept, *_ = tf.while_loop(
            lambda points, kept, at, *_: tf.reduce_any(at < stop),
            lambda *state: self._round(classes, stop, *state),
            (points, tf.ones_like(points), start + 1, start, nothing),
            shape_invariants=(flat, flat, groups, groups, groups),
        )
        counts = tf.concat([[0], tf.cumsum(kept)], 0)
        return tf.RaggedTensor.from_row_splits(
            tf.boolean_mask(points, kept > 0),
            tf.gather(counts, splits),
            validate=False,
        )

    def _round(self, classes, stop, points, kept, at, starter, between):
        """Looks at one character of each group.

        `between` is the class of the last mark that was left between the
        starter and the character, which blocks it unless it is lower; -1 for
        none.
        """
        active = at < stop
        place = tf.where(active, at, starter)
        kind = tf.gather(classes, place)
        pair = _key(tf.gather(points, starter), tf.gather(points, place))
        found = _find(self._tables["pairs"], pair)
        joins = active & (found >= 0) & (between < kind)
        new = tf.gather(self._tables["joined"], tf.maximum(found, 0))
        points = _set(points, starter, joins, new)
        kept = _set(kept, place, joins, tf.zeros_like(new))
        left = active & ~joins
        moves = left & (kind == 0)
        between = tf.where(left, kind, between)
        between = tf.where(moves, -1, between)
        starter = tf.where(moves, place, starter)
        return points, kept, at + 1, starter, between


def _find(table: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns the places of values in a sorted table; -1 for others."""
    at = tf.minimum(tf.searchsorted(table, values), tf.size(table) - 1)
    return tf.where(tf.gather(table, at) == values, at, -1)


def _key(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    first, second = tf.cast(first, tf.int64), tf.cast(second, tf.int64)
    return first * 2**SHIFT + second


def _marks(places: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """True at the places; those of empty rows at the end do not count."""
    marks = tf.zeros([size + 1], tf.int32)
    ones = tf.ones_like(places)
    return tf.tensor_scatter_nd_max(marks, places[:, None], ones)[:-1] > 0


def _set(values, places, chosen, new) -> tf.Tensor:
    at = tf.where(chosen)
    return tf.tensor_scatter_nd_update(
        values, tf.gather_nd(places, at)[:, None], tf.gather_nd(new, at)
    )
