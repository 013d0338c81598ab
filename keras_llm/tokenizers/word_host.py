"""WordPiece on the host, without TensorFlow."""

import os
from collections.abc import Sequence
from typing import Self

from keras_llm.tokenizers import word_files
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.base import Pieces, Tokenizer
from keras_llm.tokenizers.word_vocabulary import WordVocabulary


class WordHost(Tokenizer):
    """WordPiece on the host; `WordPieceTokenizer` adds the graph.

    Args:
        words: The vocabulary.
    """

    def __init__(self, words: WordVocabulary) -> None:
        """Keeps the vocabulary; the engine is built when first used."""
        self.words = words

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a `tokenizer.json` with WordPiece, or a `vocab.txt`.

        Args:
            path: The folder, or the file.

        Raises:
            FileNotFoundError: Nothing known is there.
            InputError: The file asks for something this tokenizer does not
                do; the message names it.
        """
        return cls(word_files.read(path))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json` into `folder`.

        Raises OSError if the folder cannot be written.
        """
        word_files.write(self.words, folder)

    @property
    def pieces(self) -> Pieces:
        """What the ids spell."""
        return self.words.pieces

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """The tokens that are found before anything else."""
        return self.words.added

    @property
    def bos_id(self) -> int | None:
        """The id that starts a text, or None."""
        return self._special.get(self.words.bos or "")

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text, or None."""
        return self._special.get(self.words.eos or "")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal if and only if all ids are equal."""
        return self.words.fingerprint

    def with_tokens(self, tokens: Sequence[str], special: bool = True) -> Self:
        """Returns a tokenizer with more tokens; see the base class."""
        return type(self)(self.words.with_tokens(tokens, special))

    def _encode_texts(self, texts: list[str], first: bool) -> list[list[int]]:
        found = self.words.engine.encode_batch(texts, add_special_tokens=False)
        return [row.ids for row in found]

    def _normalize(self, text: str) -> str:
        return self.words.normalizer.normalize_str(text)
