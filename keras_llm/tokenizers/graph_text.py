"""Texts as one flat array of bytes, and the class of every character.

Core TensorFlow operations only. The texts of a batch stand one after another,
each followed by the byte 0xFF, which no UTF-8 text contains. Working on bytes
instead of code points saves decoding: whatever is decided about a character
is decided at its first byte.
"""

from typing import Any

import tensorflow as tf

from keras_llm.tokenizers.pretokenize import (
    LETTER,
    NUMBER,
    OTHER,
    SPACE,
    SplitRule,
    character_classes,
)

END = 0xFF


def shift(values: tf.Tensor, steps: int) -> tf.Tensor:
    """Moves a flat array `steps` to the right (left if negative).

    Zeros (False) come in at the border.
    """
    border = tf.zeros([abs(steps)], values.dtype)
    if steps > 0:
        return tf.concat([border, values], 0)[: tf.size(values)]
    return tf.concat([values, border], 0)[-steps:]


def class_constants(rule: SplitRule) -> dict[str, tf.Tensor]:
    """Returns the character classes as eager constants, 38 kB together."""
    blocks, classes = character_classes(rule.numeral, rule.case)
    return {"blocks": tf.constant(blocks), "classes": tf.constant(classes)}


def read(
    strings: tf.Tensor, constants: dict[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the bytes of all texts and the class of each byte's character.

    Broken UTF-8 becomes U+FFFD, piece by piece as Python does it.

    Args:
        strings: string tensor of shape `(batch,)`.
        constants: From `class_constants`.

    Returns:
        `(joined, data, kinds)`: all texts as one string, the same as uint8 of
        shape `(bytes + batch,)`, and the class at each of these bytes as
        `pretokenize` numbers them; 0 for the ends.
    """

    def joined(strings: tf.Tensor) -> Any:
        text = tf.strings.reduce_join(tf.strings.join([strings, b"\xff"]))
        data = tf.io.decode_raw(text, tf.uint8)
        return text, data, *_kinds(data, tf.size(strings), constants)

    def repaired() -> Any:
        return joined(tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8"))

    found = joined(strings)
    return tf.cond(found[-1], lambda: found, repaired)[:-1]


def is_continuation(data: tf.Tensor) -> tf.Tensor:
    """True for the bytes of a character after its first."""
    return (data >= 0x80) & (data < 0xC0)


def _kinds(
    data: tf.Tensor, count: tf.Tensor, constants: dict[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the class at each byte, and whether all texts are UTF-8."""
    first = tf.where(data >= 0xC0)[:, 0]
    points, lengths, valid = _decode(data, first)
    valid = tf.reduce_all(valid | (lengths == 0))
    row = tf.gather(constants["blocks"], points // 256)
    classes = tf.gather(
        constants["classes"], tf.cast(row, tf.int32) * 256 + points % 256
    )
    ends = lengths == 0
    classes = tf.where(ends, tf.zeros_like(classes), classes)
    kinds = tf.tensor_scatter_nd_update(_ascii(data), first[:, None], classes)
    later = is_continuation(data)
    expected = tf.reduce_sum(lengths) - tf.size(lengths)
    expected += tf.math.count_nonzero(ends, dtype=tf.int32)
    valid &= tf.math.count_nonzero(ends, dtype=tf.int32) == count
    valid &= tf.math.count_nonzero(later, dtype=tf.int32) == expected
    return tf.cond(
        expected > 0, lambda: spread(kinds, later), lambda: kinds
    ), valid


def valid_bytes(data: tf.Tensor) -> tf.Tensor:
    """True for the bytes of whole UTF-8 characters; False for broken ones."""
    first = tf.where(data >= 0xC0)[:, 0]
    _, lengths, valid = _decode(data, first)
    found = tf.zeros_like(data, tf.int32)
    sizes = tf.where(valid, lengths, 0)
    found = tf.tensor_scatter_nd_update(found, first[:, None], sizes)
    whole = (data < 0x80) | (found > 0)
    for step in range(1, 4):
        whole |= shift(found, step) > step
    return whole


def spread(values: tf.Tensor, later: tf.Tensor) -> tf.Tensor:
    """Gives each byte of a character what stands at its first byte."""
    for _ in range(3):
        values = tf.where(later, shift(values, 1), values)
    return values


def _ascii(data: tf.Tensor) -> tf.Tensor:
    """Returns the classes of ASCII bytes; arithmetic is faster than a table.

    uint8 wraps around, so `x - low < n` is one test for a whole range.
    """
    letter = tf.bitwise.bitwise_or(data, 0x20) - ord("a") < 26
    number = data - ord("0") < 10
    space = (data == 0x20) | (data - 9 < 5)
    # At most one of them holds, so each lowers OTHER to its own class.
    kinds = tf.fill(tf.shape(data), tf.constant(OTHER, tf.uint8))
    for found, kind in ((letter, LETTER), (number, NUMBER), (space, SPACE)):
        kinds -= tf.cast(found, tf.uint8) * (OTHER - kind)
    return kinds


def _decode(
    data: tf.Tensor, first: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes the characters that start with a byte from 0xC0 on.

    Returns:
        Code points (valid or not, within range), lengths in bytes (0 for the
        end of a text), and which are valid.
    """
    padded = tf.pad(data, [[0, 3]])
    a, b, c, d = (
        tf.cast(tf.gather(padded, first + step), tf.int32) for step in range(4)
    )
    lengths = 2 + tf.cast(a >= 0xE0, tf.int32) + tf.cast(a >= 0xF0, tf.int32)
    lengths = tf.where(a == END, 0, lengths)
    two, three, four = (lengths == n for n in (2, 3, 4))
    low = tf.where(a == 0xE0, 0xA0, tf.where(a == 0xF0, 0x90, 0x80))
    high = tf.where(a == 0xED, 0x9F, tf.where(a == 0xF4, 0x8F, 0xBF))
    valid = (a >= 0xC2) & (a <= 0xF4) & (b >= low) & (b <= high)
    valid &= two | is_continuation(c)
    valid &= ~four | is_continuation(d)
    # Each byte carries 6 bits; the first one what its length leaves.
    b, c, d = (byte % 64 for byte in (b, c, d))
    points = tf.where(two, a % 32 * 64 + b, (a % 16 * 64 + b) * 64 + c)
    points = tf.where(four, ((a % 8 * 64 + b) * 64 + c) * 64 + d, points)
    points = tf.where(points < 0x110000, points, 0)
    return points, lengths, valid & (a != END)
