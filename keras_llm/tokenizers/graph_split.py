"""The split rules as vector logic on bytes: where does a word start?

Core TensorFlow operations only, no regular expressions. `k` is the class of
a byte's character, `p` the class of the byte before; both hold for all bytes
of a character. A look-ahead as in `\\s+(?!\\S)` becomes a mark that the first
character after the white space sets on the last one of it.
"""

import tensorflow as tf

from keras_llm.tokenizers.graph_case import case_starts
from keras_llm.tokenizers.graph_modern import (
    contractions,
    last_spaces,
    modern_starts,
)
from keras_llm.tokenizers.graph_text import END, is_continuation, shift
from keras_llm.tokenizers.pretokenize import NUMBER, OTHER, SPACE, SplitRule


def word_starts(
    data: tf.Tensor, kinds: tf.Tensor, rule: SplitRule
) -> tf.Tensor:
    """Returns True at the first byte of each word and at the end of texts.

    Args:
        data: uint8 bytes of all texts, each ended by 0xFF.
        kinds: uint8 class of each byte's character.
        rule: The split rule.
    """
    if rule.case:
        starts = case_starts(data, kinds, rule)
    elif rule.modern:
        starts = _modern(data, kinds, rule)
    else:
        starts = _gpt2(data, kinds, rule)
    return (starts & ~is_continuation(data)) | (data == END)


def _gpt2(data, kinds, rule) -> tf.Tensor:
    before, blank = shift(kinds, 1), shift(data == 0x20, 1)
    _, inner, forced = contractions(data, _may_contract(data, kinds), False)
    changed = (kinds != before) & ~blank
    space, last = kinds == SPACE, last_spaces(data, kinds, before)
    if rule.numerals_first:
        number = kinds == NUMBER
        changed |= number
        # White space before a number stays together, as at the end.
        ends = tf.where(number, tf.zeros_like(kinds), kinds)
        last = last_spaces(data, ends, before)
    starts = (changed & ~space) | (space & ((before != SPACE) | last))
    return (starts & ~inner) | forced


def _modern(data, kinds, rule) -> tf.Tensor:
    _, inner, forced = contractions(data, _may_contract(data, kinds), True)
    newline = (data == 0x0A) | (data == 0x0D)
    starts = modern_starts(data, kinds, newline, rule)
    return (starts & ~inner) | forced


def _may_contract(data, kinds) -> tf.Tensor:
    """Marks the apostrophes that start a word, and so may contract."""
    blank = shift(data == 0x20, 1)
    return (data == 0x27) & (shift(kinds, 1) != OTHER) & ~blank
