"""Merging bytes into tokens: all words at once, as integers.

Core TensorFlow operations only; no lookup tables.

tiktoken merges one pair at a time: in each word the pair with the lowest
rank, the leftmost first. Here every round merges many pairs of a word, and
still exactly those. For that, each boundary between two tokens knows a
*bound*: the lowest rank of any merge that could ever cross it, now or after
its two tokens have grown. A pair whose rank is below the bounds on both of
its sides will be merged whatever happens around it, so it can be merged now.
Rounds are then few (about 20 for 100 kB of random letters) instead of one for
each merge. A boundary without a bound stays for good; tokens between two of
those are finished and leave the work.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.errors import InputError
from keras_llm.tokenizers.graph_text import shift
from keras_llm.tokenizers.vocabulary import Vocabulary

NEVER = 2**30
_BITS = 24
_NO_PAIR = {-1: (NEVER, NEVER)}  # so that a vocabulary of bytes has a table
Splits = dict[bytes, tuple[bytes, bytes]]


def merge_constants(vocabulary: Vocabulary) -> dict[str, tf.Tensor]:
    """Returns the merges as eager constants: 16 bytes for each known pair.

    Inside, byte b is token b and merge number i is token 256 + i, so that a
    token is its own rank.

    Raises:
        InputError: A merge comes before one of its parts.
    """
    inside = {bytes([byte]): byte for byte in range(256)}
    splits: Splits = {}
    for token, parts in vocabulary.splits.items():
        if parts is None:
            continue  # only ever a whole word, see `graph_words`
        if not inside.keys() >= set(parts):
            raise InputError(
                "Expected a vocabulary built merge by merge for the graph "
                f"engine. Received: the token {token!r}, which its parts do "
                "not make in the order of the ids. Encode on the host instead."
            )
        inside[token] = len(inside)
        splits[token] = parts
    table = _NO_PAIR | _bounds(splits, inside)
    keys = np.array(sorted(table), np.int64)
    bounds, merged = np.array([table[k] for k in keys], np.int32).T
    ids = np.array([vocabulary.ranks[token] for token in inside], np.int32)
    return {
        "keys": tf.constant(keys),
        "bounds": tf.constant(bounds.copy()),
        "merged": tf.constant(merged.copy()),
        "ids": tf.constant(ids),
    }


def _bounds(
    splits: Splits, inside: dict[bytes, int]
) -> dict[int, tuple[int, int]]:
    """Returns the bound and the merge of each pair of tokens that has one.

    A merge of l and r can cross the boundary of x and y if x is l or a last
    part of it, and y is r or a first part of it.
    """
    firsts = {token: [number] for token, number in inside.items()}
    lasts = {token: [number] for token, number in inside.items()}
    table: dict[int, tuple[int, int]] = {}
    for token, (left, right) in splits.items():
        firsts[token] += firsts[left]
        lasts[token] += lasts[right]
        rank = inside[token]
        for x in lasts[left]:
            for y in firsts[right]:
                table.setdefault((x << _BITS) | y, (rank, NEVER))
        own = (inside[left] << _BITS) | inside[right]
        table[own] = (table[own][0], rank)
    return table


def _look_up(
    left: tf.Tensor, right: tf.Tensor, constants: dict[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns bound and merge of the pairs; NEVER where there is none."""
    keys = tf.cast(left, tf.int64) * 2**_BITS + tf.cast(right, tf.int64)
    at = tf.searchsorted(constants["keys"], keys)
    at = tf.minimum(at, tf.size(constants["keys"]) - 1)
    known = tf.gather(constants["keys"], at) == keys
    return tuple(
        tf.where(known, tf.gather(constants[name], at), NEVER)
        for name in ("bounds", "merged")
    )


def merge(
    data: tf.Tensor, ends: tf.Tensor, constants: dict[str, tf.Tensor]
) -> tf.Tensor:
    """Merges the bytes of all words.

    Args:
        data: uint8 bytes of the words, one word after another.
        ends: bool, True at the last byte of each word.
        constants: From `merge_constants`.

    Returns:
        int32 as long as `data`: the id of each token at its first byte, and
        -1 at its other bytes.
    """
    tokens = tf.cast(data, tf.int32)
    places = tf.range(tf.size(data))
    bound, merged = _look_up(tokens, shift(tokens, -1), constants)
    ends |= places == tf.size(data) - 1
    bound, merged = (tf.where(ends, NEVER, x) for x in (bound, merged))
    done = tf.fill(tf.shape(data), -1)
    state = _finish(tokens, places, bound, merged, done)
    state = tf.while_loop(
        lambda tokens, *_: tf.size(tokens) > 0,
        lambda *state: _round(constants, *state),
        state,
        shape_invariants=(tf.TensorShape([None]),) * 5,
    )
    done = state[-1]
    return tf.where(
        done < 0, -1, tf.gather(constants["ids"], tf.maximum(done, 0))
    )


def _finish(tokens, places, bound, merged, done) -> tuple:
    """Takes the tokens that can never change out of the work."""
    fixed = bound == NEVER
    finished = fixed & _left(fixed, True)
    at = tf.where(finished)
    done = tf.tensor_scatter_nd_update(
        done, tf.gather_nd(places, at)[:, None], tf.gather_nd(tokens, at)
    )
    return *_keep(~finished, tokens, places, bound, merged), done


def _keep(kept: tf.Tensor, *values: tf.Tensor) -> list[tf.Tensor]:
    at = tf.where(kept)[:, 0]
    return [tf.gather(x, at) for x in values]


def _left(values: tf.Tensor, border: Any) -> tf.Tensor:
    """Returns each boundary's left neighbour."""
    return tf.concat([[border], values], 0)[:-1]


def _round(constants, tokens, places, bound, merged, done) -> tuple:
    """Merges what can be merged now, and looks up what became neighbours."""
    # A stretch between two fixed boundaries may always merge its lowest rank;
    # without any merge it is finished.
    stretch = tf.cumsum(tf.cast(_left(bound, NEVER) == NEVER, tf.int32)) - 1
    lowest = tf.gather(tf.math.segment_min(merged, stretch), stretch)
    bound = tf.where(lowest == NEVER, NEVER, bound)
    chosen = _choose(bound, merged, merged == lowest)
    gone = _left(chosen, False)
    tokens = tf.where(chosen, merged, tokens)
    # A new token takes over the boundary on the right of its right part.
    changed = chosen | gone | shift(chosen, -1)
    bound, merged = (tf.where(chosen, shift(x, -1), x) for x in (bound, merged))
    tokens, places, bound, merged, changed = _keep(
        ~gone, tokens, places, bound, merged, changed
    )
    at = tf.where(changed & (bound != NEVER))
    new = _look_up(
        tf.gather_nd(tokens, at), tf.gather_nd(shift(tokens, -1), at), constants
    )
    bound, merged = (
        tf.tensor_scatter_nd_update(old, at, x)
        for old, x in zip((bound, merged), new, strict=True)
    )
    return _finish(tokens, places, bound, merged, done)


def _choose(
    bound: tf.Tensor, merged: tf.Tensor, lowest: tf.Tensor
) -> tf.Tensor:
    """Returns which pairs to merge now: their boundaries are True."""
    left_bound = _left(bound, NEVER)
    same = merged == _left(merged, NEVER)
    right_safe = tf.concat([bound[1:], [NEVER]], 0) >= merged
    left_safe = left_bound > merged
    able = (merged != NEVER) & (lowest | (right_safe & (left_safe | same)))
    # Of equal pairs that overlap ("aaaa"), every other one, from the left.
    chained = same & able & _left(able, False)
    head = able & ~chained
    order = tf.range(tf.size(head))
    run = tf.cumsum(tf.cast(head, tf.int32))
    first = tf.concat([[0], tf.boolean_mask(order, head)], 0)
    sound = tf.concat([[False], tf.boolean_mask(lowest | left_safe, head)], 0)
    even = (order - tf.gather(first, run)) % 2 == 0
    return able & even & tf.gather(sound, run)
