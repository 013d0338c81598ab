"""WordPiece in the graph: tables of characters, and tensorflow-text."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.tokenizers.extra import extra
from keras_llm.tokenizers.word_vocabulary import WordVocabulary

_POINTS = [*range(0xD800), *range(0xE000, 0x110000)]
_BLOCK = 256
_BETWEEN = "q|q"  # no normalizer changes it


class WordGraph:
    """Encodes inside of any `tf.function`.

    What happens to each character, and which of them separate words, is read
    off `tokenizers` itself, so that both follow the same Unicode.

    Args:
        words: The vocabulary.
    """

    def __init__(self, words: WordVocabulary) -> None:
        """Builds nothing yet; the tables are made when first used."""
        self._words = words

    @functools.cached_property
    def _normalized(self) -> "CharacterMap":
        everything = _BETWEEN.join(map(chr, _POINTS))
        normalizer = self._words.normalizer
        mapped = normalizer.normalize_str(everything).split(_BETWEEN)
        return CharacterMap(mapped)

    @functools.cached_property
    def _separated(self) -> "CharacterMap":
        """White space is a space; punctuation has a space on both sides."""
        splitter = self._words.engine.pre_tokenizer
        everything = "q" + "q".join(map(chr, _POINTS)) + "q"
        mapped = [" "] * len(_POINTS)
        for text, (start, stop) in splitter.pre_tokenize_str(everything):
            if stop - start == 1 and start % 2:
                mapped[start // 2] = f" {text} "
                continue
            for at in range(start + 1 - start % 2, stop, 2):
                mapped[at // 2] = everything[at]
        return CharacterMap(mapped)

    @functools.cached_property
    def _pieces(self) -> Any:
        text = extra("tensorflow_text", "WordPiece in a graph")
        names = sorted(self._words.tokens, key=self._words.tokens.__getitem__)
        with tf.init_scope(), tf.device("CPU"):
            return text.FastWordpieceTokenizer(
                names,
                suffix_indicator=self._words.prefix,
                max_bytes_per_word=2**20,
                token_out_type=tf.int32,
                unknown_token=self._words.unknown,
                no_pretokenization=True,
            )

    @functools.cached_property
    def _ids(self) -> tf.Tensor:
        """The id of each token in their order; they may have gaps."""
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(sorted(self._words.tokens.values()), tf.int32)

    def normalize(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns the normalized texts `(batch,)`."""
        return self._normalized.apply(strings)

    def encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns int32 ids `(batch, None)` of normalized texts `(batch,)`."""
        words = tf.strings.split(self._separated.apply(strings))
        lengths = tf.strings.length(words.values, unit="UTF8_CHAR")
        # A word that no vocabulary has becomes what an unknown one does.
        short = tf.where(lengths > self._words.longest, "\x00", words.values)
        rows = self._pieces.tokenize(short)
        ids = tf.gather(self._ids, rows.values)
        splits = tf.gather(rows.row_splits, words.row_splits)
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)


class CharacterMap:
    """Replaces each character by a text, mostly by itself.

    Args:
        mapped: What each of `_POINTS` becomes.
    """

    def __init__(self, mapped: Sequence[str]) -> None:
        """Keeps the characters that change, in two levels."""
        texts = [""]
        numbers = {}
        flat = np.zeros(0x110000, np.int32)
        for point, text in zip(_POINTS, mapped, strict=True):
            if text != chr(point):
                if text not in numbers:
                    numbers[text] = len(texts)
                    texts.append(text)
                flat[point] = numbers[text]
        rows, blocks = np.unique(
            flat.reshape(-1, _BLOCK), axis=0, return_inverse=True
        )
        with tf.init_scope(), tf.device("CPU"):
            self._blocks = tf.constant(blocks.reshape(-1), tf.int32)
            self._numbers = tf.constant(rows.reshape(-1), tf.int32)
            self._texts = tf.constant(texts)

    def apply(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns the mapped strings `(batch,)`; broken UTF-8 is repaired."""
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8")
        characters = tf.strings.unicode_split(strings, "UTF-8")
        points = tf.strings.unicode_decode(strings, "UTF-8").values
        block = tf.gather(self._blocks, points // _BLOCK)
        number = tf.gather(self._numbers, block * _BLOCK + points % _BLOCK)
        new = tf.where(
            number > 0, tf.gather(self._texts, number), characters.values
        )
        return tf.strings.reduce_join(characters.with_values(new), axis=-1)
