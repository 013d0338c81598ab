"""The split rules that look at case, as vector logic on bytes.

A word is capitals and then small letters; letters without case and marks
(accents) count as both. So "HelloWorld" is two words and "HTMLPage" is one. A
mark belongs to the letters around it, unless symbols swallow it.
"""

import tensorflow as tf

from keras_llm.tokenizers.graph_modern import contractions, modern_starts
from keras_llm.tokenizers.graph_text import is_continuation, shift
from keras_llm.tokenizers.pretokenize import (
    LETTER,
    LOWER,
    MARK,
    OTHER,
    SPACE,
    UPPER,
    SplitRule,
)

_BASE = 15  # the classes without case


def case_starts(
    data: tf.Tensor, kinds: tf.Tensor, rule: SplitRule
) -> tf.Tensor:
    """Marks where words start.

    Args:
        data: uint8 bytes of all texts, each ended by 0xFF.
        kinds: uint8 class of each byte's character, with case.
        rule: The split rule.
    """
    first = ~is_continuation(data)
    newline = (data == 0x0A) | (data == 0x0D)
    slash = data == ord("/")
    base, taken = _settle(data, kinds, first, newline, slash)
    none = tf.zeros_like(first)
    apostrophe, inner, forced = none, none, none
    if rule.suffixes:
        mark = (data == 0x27) & (shift(base, 1) == LETTER)
        apostrophe, inner, forced = contractions(data, mark, True, _every_other)
    starts = modern_starts(data, base, newline | taken, rule)
    letter = base == LETTER
    upper = letter & (_has(kinds, UPPER) | (data - ord("A") < 26))
    lower = letter & (_has(kinds, LOWER) | (data - ord("a") < 26))
    fresh = letter & first & ((shift(base, 1) != LETTER) | forced)
    starts |= _capitals(upper, lower, letter, first, fresh)
    return (starts & ~apostrophe & ~inner) | forced


def _has(kinds: tf.Tensor, bit: int) -> tf.Tensor:
    return tf.bitwise.bitwise_and(kinds, tf.constant(bit, kinds.dtype)) > 0


def _settle(data, kinds, first, newline, slash) -> tuple[tf.Tensor, tf.Tensor]:
    """Says what marks and slashes are in their place.

    A mark is a letter, or part of a run of symbols. A slash after newlines
    that a run of symbols took along is taken along, too: as good as a
    newline. Each can depend on what is before it, so this repeats until
    nothing changes; once, nearly always.

    Returns:
        The classes without case and without marks; which slashes are taken.
    """
    base = tf.bitwise.bitwise_and(kinds, tf.constant(_BASE, kinds.dtype))
    mark = _has(kinds, MARK)
    any_mark = tf.reduce_any(mark)
    any_slash = tf.reduce_any(slash & shift(newline | slash, 1))

    def settled(taken: tf.Tensor) -> tf.Tensor:
        found = tf.where(taken, tf.constant(SPACE, base.dtype), base)
        return tf.cond(
            any_mark,
            lambda: _settle_marks(data, found, mark, first),
            lambda: found,
        )

    def again(_, taken: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.cond(
            any_slash,
            lambda: _taken(settled(taken), newline, slash),
            lambda: taken,
        )
        return tf.reduce_any(found != taken), found

    _, taken = tf.while_loop(
        lambda changed, _: changed,
        again,
        (tf.constant(True), tf.zeros_like(first)),
    )
    return settled(taken), taken


def _settle_marks(data, base, mark, first) -> tf.Tensor:
    """Makes each mark a letter or a symbol.

    Symbols swallow the marks after them; but a symbol alone belongs to the
    word after it, and a mark starts a word. So in a run of symbols and
    marks, all marks are letters up to the first place where two symbols
    stand together, or a space and a symbol.
    """
    symbol = (base == OTHER) & ~mark
    before = shift(symbol, 1) | (shift(data, 1) == 0x20)
    pair = symbol & first & before
    run = (base == OTHER) & (shift(base, 1) != OTHER)
    swallowed = _count_since(pair, run) > 0
    letter = tf.constant(LETTER, base.dtype)
    return tf.where(mark & ~swallowed & (base == OTHER), letter, base)


def _taken(base, newline, slash) -> tf.Tensor:
    """Marks the slashes that a run of symbols takes along after newlines."""
    either = newline | slash
    symbol = (shift(base, 1) == OTHER) | shift(slash, 1)
    run = either & ~shift(either, 1)
    return slash & (_count_since(newline & symbol, run) > 0)


def _count_since(marks: tf.Tensor, runs: tf.Tensor) -> tf.Tensor:
    """Counts the marks since the last start of a run, itself included."""
    count = tf.cumsum(tf.cast(marks, tf.int32))
    before = count - tf.cast(marks, tf.int32)
    bases = tf.concat([[0], tf.boolean_mask(before, runs)], 0)
    return count - tf.gather(bases, tf.cumsum(tf.cast(runs, tf.int32)))


def _every_other(marks: tf.Tensor, long: tf.Tensor) -> tf.Tensor:
    """Keeps every other contraction of those that follow each other.

    In "it's's", the second apostrophe starts a word of its own.
    """
    at = tf.where(marks)
    stop = at[:, 0] + 2 + tf.cast(tf.gather_nd(long, at), tf.int64)
    chained = tf.concat([[-1], stop], 0)[:-1] == at[:, 0]
    order = tf.range(tf.size(chained))
    heads = tf.boolean_mask(order, ~chained)
    run = tf.cumsum(tf.cast(~chained, tf.int32)) - 1
    kept = (order - tf.gather(heads, run)) % 2 == 0
    return tf.tensor_scatter_nd_update(marks, at, kept)


def _capitals(upper, lower, letter, first, fresh) -> tf.Tensor:
    """Marks the capitals that start a word after other letters."""
    after_small = upper & first & shift(lower, 1)
    both = letter & ~upper & ~lower
    after_both = upper & first & shift(both, 1) & ~fresh

    def found() -> tf.Tensor:
        return after_small | (
            after_both & _leaves_both(upper, lower, letter, first, fresh)
        )

    return tf.cond(tf.reduce_any(after_both), found, lambda: after_small)


def _leaves_both(upper, lower, letter, first, fresh) -> tf.Tensor:
    """Marks the capitals that cannot join a letter without case before them.

    Either small letters are before: the last letter with case is one. Or
    nothing but capitals follows in the run: then the word ends at the last
    letter that may be a small one.
    """
    at = tf.where(letter & first)
    is_upper, is_lower, begins = (
        tf.gather_nd(x, at) for x in (upper, lower, fresh)
    )
    run = tf.cumsum(tf.cast(begins, tf.int32))
    cased = tf.where(is_upper | is_lower)[:, 0]
    small = tf.gather(is_lower, cased)
    runs = tf.gather(run, cased)
    same = runs == tf.concat([[-1], runs], 0)[:-1]
    small_before = tf.concat([[False], small], 0)[:-1] & same
    # How many letters that are no capitals follow in the run?
    others = tf.cumsum(tf.cast(~is_upper, tf.int32))
    stops = tf.concat(
        [tf.where(begins)[1:, 0] - 1, [tf.size(run, tf.int64) - 1]], 0
    )
    at_end = tf.gather(tf.gather(others, stops), run - 1)
    chosen = is_upper & (at_end == others)
    chosen |= tf.tensor_scatter_nd_update(
        tf.zeros_like(is_upper), cased[:, None], small_before
    )
    return tf.tensor_scatter_nd_update(tf.zeros_like(letter), at, chosen)
