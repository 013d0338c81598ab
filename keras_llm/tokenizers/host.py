"""The host engine: encoding and decoding with tiktoken, without TensorFlow."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

from keras_llm.errors import InputError
from keras_llm.tokenizers import formats
from keras_llm.tokenizers.byte_text import IncrementalDecoder, clean
from keras_llm.tokenizers.host_engine import (
    HostEngine,
    Special,
    special_names,
)
from keras_llm.tokenizers.training import SPECIAL_TOKENS, train_vocabulary
from keras_llm.tokenizers.vocabulary import Vocabulary

Text = str | bytes


class HostTokenizer:
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

    @property
    def vocabulary_size(self) -> int:
        """One more than the highest id."""
        return self.vocabulary.size

    @property
    def special_tokens(self) -> dict[str, int]:
        """The id of each special token."""
        return dict(self.vocabulary.special_tokens)

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

    @overload
    def encode(
        self,
        text: Text,
        allowed_special: Special = (),
        disallowed_special: Special = "all",
    ) -> list[int]: ...

    @overload
    def encode(
        self,
        text: Sequence[Text],
        allowed_special: Special = (),
        disallowed_special: Special = "all",
    ) -> list[list[int]]: ...

    def encode(
        self,
        text: Any,
        allowed_special: Special = (),
        disallowed_special: Special = "all",
    ) -> Any:
        r"""Returns the ids of a text, or a list of them for a list of texts.

        Broken UTF-8 becomes U+FFFD first, exactly as in the graph engine.

        Args:
            text: str, bytes (UTF-8), or a list of them.
            allowed_special: Special tokens that become their id where the
                text spells them; "all" for all of them.
            disallowed_special: Special tokens that are refused in the text.
                Default: all that are not allowed. Pass () to encode them
                like any other text.

        Raises:
            InputError: A refused special token stands in the text.

        Example:

        >>> tokenizer = HostTokenizer.train(["some text"], 261)
        >>> tokenizer.encode(b"hi\xff")
        [104, 105, 239, 191, 189]
        >>> tokenizer.encode("<|end|>", allowed_special={"<|end|>"})
        [260]
        """
        allowed = special_names(allowed_special, self.special_tokens)
        refused = special_names(disallowed_special, self.special_tokens)
        refused = refused - allowed
        if isinstance(text, str | bytes):
            return self._host.encode([clean(text)], allowed, refused)[0]
        return self._host.encode([clean(t) for t in text], allowed, refused)

    def decode(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> str:
        """Returns the text of `ids`; broken UTF-8 becomes U+FFFD.

        Args:
            ids: Token ids.
            skip_special_tokens: Leave special tokens out.

        Raises:
            InputError: No token has one of the ids.
        """
        data = self.decode_bytes(ids, skip_special_tokens)
        return data.decode("utf-8", errors="replace")

    def decode_bytes(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> bytes:
        """Returns the bytes of `ids`, which may end in half a character.

        Raises:
            InputError: No token has one of the ids.
        """
        skipped = self._host.special_ids if skip_special_tokens else ()
        return b"".join(self.token_bytes(i) for i in ids if i not in skipped)

    def token_bytes(self, token_id: int) -> bytes:
        """Returns the bytes of one token (UTF-8 text of a special token).

        Raises:
            InputError: No token has this id.
        """
        table = self.vocabulary.table
        token = table[token_id] if 0 <= token_id < len(table) else None
        if token is None:
            raise InputError(
                f"Expected ids of tokens, from 0 to {len(table) - 1}. "
                f"Received: {token_id}. Were these ids made with another "
                "tokenizer?"
            )
        return token

    def incremental_decoder(self) -> IncrementalDecoder:
        """Returns a decoder that takes ids one by one, for streaming."""
        return IncrementalDecoder(self.token_bytes)

    def _special_id(self, token: str | None) -> int | None:
        return None if token is None else self.special_tokens[token]
