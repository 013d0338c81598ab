"""The host engine: encoding and decoding with tiktoken, without TensorFlow."""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Self

from keras_llm.tokenizers import formats
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.base import Pieces, Tokenizer
from keras_llm.tokenizers.host_engine import HostEngine
from keras_llm.tokenizers.training import SPECIAL_TOKENS, train_vocabulary
from keras_llm.tokenizers.vocabulary import Vocabulary


class HostTokenizer(Tokenizer):
    """Byte-level BPE on the host; a fast tokenizer that needs no TensorFlow.

    It reads, writes and encodes like `BytePairTokenizer`, which adds the
    Keras layer and the graph engine to it.

    Args:
        vocabulary: The tokens and the split rule.

    Example:

    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 270)
    >>> tokenizer.decode(tokenizer.encode("a rose"))
    'a rose'
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Keeps the vocabulary; the engine is built when first used."""
        self._host = HostEngine(vocabulary)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        pattern: str = "gpt2",
        special_tokens: Sequence[str] = SPECIAL_TOKENS,
        bos: str | None = "<|endoftext|>",
        eos: str | None = "<|endoftext|>",
        progress: bool = True,
    ) -> Self:
        """Learns a vocabulary: the pairs that occur together most often.

        The same texts in the same order give the same vocabulary. Ids: the
        256 bytes, the merges in the order they were learnt, the special
        tokens. A small corpus can give fewer tokens than asked for.

        Args:
            texts: The corpus; read once.
            vocabulary_size: Number of tokens, special tokens included.
            pattern: Split rule: "gpt2", "gpt4", "llama3" or "qwen2".
            special_tokens: Tokens that no text becomes by itself.
            bos: The special token that starts a text, or None.
            eos: The special token that ends a text, or None.
            progress: Show a bar when standard error is a terminal.

        Raises:
            InputError: The corpus is empty, `vocabulary_size` is below 256
                plus the special tokens, the pattern is unknown, or `bos` or
                `eos` is not among the special tokens.

        Source: Sennrich et al., 2016, https://arxiv.org/abs/1508.07909;
        byte level: GPT-2 (Radford et al., 2019).
        """
        vocabulary = train_vocabulary(
            texts, vocabulary_size, pattern, special_tokens, bos, eos, progress
        )
        return cls(vocabulary)

    @classmethod
    def load(cls, path: str | os.PathLike, pattern: str | None = None) -> Self:
        """Reads a tokenizer, whichever of these formats is found.

        - Hugging Face's `tokenizer.json` (byte-level BPE),
        - GPT-2's `vocab.json` + `merges.txt`, or `encoder.json` + `vocab.bpe`,
        - a tiktoken rank file, `*.tiktoken`.

        Args:
            path: The folder, or one of the files.
            pattern: Split rule. Default: the one in the file, and "gpt2" for
                the formats that name none.

        Raises:
            FileNotFoundError: Nothing known is there.
            InputError: The file asks for something this tokenizer does not
                do; the message names it.
        """
        return cls(formats.read(path, pattern))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json` into `folder`.

        `tokenizers`, `transformers` and the LiteRT-LM runtime read them and
        give the same ids. Raises OSError if the folder cannot be written.
        """
        formats.write_hugging_face(self.vocabulary, folder)

    def save_gpt2(self, folder: str | os.PathLike) -> None:
        """Writes `vocab.json` and `merges.txt` into `folder`.

        The format names no split rule and no bos or eos.
        """
        formats.write_gpt2(self.vocabulary, folder)

    def save_tiktoken(self, path: str | os.PathLike) -> None:
        """Writes tiktoken's rank file, which leaves special tokens out."""
        formats.write_tiktoken(self.vocabulary, path)

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens and the split rule."""
        return self._host.vocabulary

    @functools.cached_property
    def pieces(self) -> Pieces:
        """What the ids spell."""
        return Pieces(self.vocabulary.table, self.vocabulary.table)

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """The tokens that are found before anything else."""
        return self.vocabulary.added_tokens

    @property
    def bos_id(self) -> int | None:
        """The id that starts a text, or None."""
        return self._special_id(self.vocabulary.bos)

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text, or None."""
        return self._special_id(self.vocabulary.eos)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal if and only if all ids are equal."""
        return self.vocabulary.fingerprint

    def with_tokens(self, tokens: Sequence[str], special: bool = True) -> Self:
        """Returns a tokenizer with more tokens; see the base class.

        Example:

        >>> tokenizer = HostTokenizer.train(["a rose"], 261)
        >>> tokenizer.with_tokens(["<|think|>"]).special_tokens["<|think|>"]
        261
        """
        return type(self)(self.vocabulary.with_tokens(tokens, special))

    def _encode_texts(self, texts: list[str], first: bool) -> list[list[int]]:
        return self._host.encode(texts)

    def _normalize(self, text: str) -> str:
        return self.vocabulary.normalize(text)

    def _special_id(self, token: str | None) -> int | None:
        return None if token is None else self._special[token]
