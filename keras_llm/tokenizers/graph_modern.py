"""What the split rules share: shapes of words as vector logic on bytes.

Core TensorFlow operations only, no regular expressions.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_llm.tokenizers.graph_text import is_continuation, shift, spread
from keras_llm.tokenizers.pretokenize import (
    LETTER,
    NUMBER,
    OTHER,
    SPACE,
    SplitRule,
)


def modern_starts(
    data: tf.Tensor, kinds: tf.Tensor, newline: tf.Tensor, rule: SplitRule
) -> tf.Tensor:
    """Marks where words start by the shape of GPT-4's rule.

    Contractions aside. `newline` says which bytes are newlines; they are
    white space in `kinds`.
    """
    before, blank = shift(kinds, 1), shift(data == 0x20, 1)
    first = ~is_continuation(data)
    changed = kinds != before
    symbol = (kinds == OTHER) & changed & ~blank
    # A symbol alone before a letter belongs to the letters, as white space
    # other than a newline does.
    alone = shift(spread(symbol & first, ~first), 1)
    taken = ((before == SPACE) & ~shift(newline, 1)) | alone
    letter = (kinds == LETTER) & changed & ~taken
    number = _numbers(kinds, before, first, rule.digits)
    last = last_spaces(data, kinds, before)
    head = (kinds == SPACE) & changed & ~((before == OTHER) & newline)
    space = head | (last & ~newline)
    space |= _after_newlines(kinds, before, newline, rule.joined_end)
    return symbol | letter | number | space


def contractions(
    data: tf.Tensor,
    mark: tf.Tensor,
    any_case: bool,
    choose: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds 's, 't, 'm, 'd, 're, 've and 'll.

    Args:
        data: All bytes.
        mark: The apostrophes to look at.
        any_case: Whether capitals count, too.
        choose: Chooses among those found, given which of them are long.

    Returns:
        Which bytes are the apostrophes found, which are the letters after
        them, and which come after those.
    """
    letters = tf.bitwise.bitwise_or(data, 0x20) if any_case else data
    one, two = shift(letters, -1), shift(letters, -2)
    short = mark & _is_any(one, "stmd")
    pair = ((one == ord("l")) & (two == ord("l"))) | (
        ((one == ord("r")) | (one == ord("v"))) & (two == ord("e"))
    )
    long = mark & pair
    if any_case:
        # The long s, two bytes, is an s in another case.
        long |= mark & (shift(data, -1) == 0xC5) & (shift(data, -2) == 0xBF)
    either = short | long
    if choose is not None:
        either = choose(either, long)
        short, long = short & either, long & either
    inner = shift(either, 1) | shift(long, 2)
    forced = shift(short, 2) | shift(long, 3)
    return either, inner, forced


def _is_any(values: tf.Tensor, letters: str) -> tf.Tensor:
    found = values == ord(letters[0])
    for letter in letters[1:]:
        found |= values == ord(letter)
    return found


def last_spaces(
    data: tf.Tensor, kinds: tf.Tensor, before: tf.Tensor
) -> tf.Tensor:
    """Marks the last white space of each run that something follows."""
    after = (before == SPACE) & (kinds != SPACE) & (kinds != 0)
    later = shift(is_continuation(data), 1)
    longer = shift(later, 1)
    marks = shift(after & ~later, -1)
    marks |= shift(after & later & ~longer, -2)
    return marks | shift(after & later & longer, -3)


def _numbers(kinds, before, first, digits) -> tf.Tensor:
    """Marks every `digits`-th number of a run."""
    number = (kinds == NUMBER) & first
    if digits == 1:
        return number
    at = tf.where(number)
    fresh = tf.gather_nd(before, at) != NUMBER
    order = tf.range(tf.size(fresh))
    run = tf.cumsum(tf.cast(fresh, tf.int32)) - 1
    offset = order - tf.gather(tf.boolean_mask(order, fresh), run)
    chosen = tf.boolean_mask(at, offset % digits == 0)
    marks = tf.zeros_like(number)
    return tf.tensor_scatter_nd_update(
        marks, chosen, tf.ones_like(chosen[:, 0], tf.bool)
    )


def _after_newlines(kinds, before, newline, joined_end) -> tf.Tensor:
    """Marks white space that starts a word because newlines end before it.

    That is the first white space after the run's last newline, and after
    newlines that a symbol took along. Few places matter (newlines, what
    follows them and where white space ends), so they are looked at alone.
    """
    after = (kinds == SPACE) & ~newline & shift(newline, 1)
    leaves = (before == SPACE) & (kinds != SPACE)
    at = tf.where(newline | after | leaves)
    after, leaves, newline = (
        tf.gather_nd(x, at) for x in (after, leaves, newline)
    )
    previous = tf.gather_nd(before, at)
    # The newlines in front: were they taken along by a symbol?
    heads = newline & ~shift(newline, 1)
    taken = tf.concat([[False], tf.boolean_mask(previous == OTHER, heads)], 0)
    taken = tf.gather(taken, tf.cumsum(tf.cast(heads, tf.int32)))
    final = shift(leaves, -1)
    if joined_end:
        final &= shift(tf.gather_nd(kinds, at), -1) != 0
    chosen = tf.boolean_mask(at, after & (taken | final))
    return tf.tensor_scatter_nd_update(
        tf.zeros_like(kinds, tf.bool),
        chosen,
        tf.ones_like(chosen[:, 0], tf.bool),
    )
