"""What every tokenizer does on the host, whatever its algorithm."""

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, overload

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken, cut, finder
from keras_llm.tokenizers.byte_text import IncrementalDecoder, clean

Special = Literal["all"] | Collection[str]
Text = str | bytes


@dataclass(frozen=True)
class Pieces:
    """What the ids spell: all that decoding needs.

    Attributes:
        table: The bytes of each id; None for an id without a token.
        first: The same where no text stands before it. SentencePiece and
            WordPiece drop the space there.
        errors: How broken UTF-8 is shown: "replace" is one U+FFFD for each
            broken piece, `byte_text.EACH_BYTE` one for each byte.
        waits: A token without bytes leaves its successor the first.
    """

    table: Sequence[bytes | None]
    first: Sequence[bytes | None]
    errors: str = "replace"
    waits: bool = False


class Tokenizer(ABC):
    """Text to ids and back on the host: the interface of all tokenizers.

    Attributes:
        main_file: Name of the file that `save` writes and other programs
            read: "tokenizer.json" or "tokenizer.model".

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> isinstance(HostTokenizer.train(["a rose"], 261), Tokenizer)
    True
    """

    main_file: str = "tokenizer.json"

    @property
    @abstractmethod
    def pieces(self) -> Pieces:
        """What the ids spell."""

    @property
    @abstractmethod
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """The tokens that are found before anything else."""

    @property
    @abstractmethod
    def bos_id(self) -> int | None:
        """The id that starts a text, or None."""

    @property
    @abstractmethod
    def eos_id(self) -> int | None:
        """The id that ends a text, or None."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal if and only if all ids are equal."""

    @abstractmethod
    def save(self, folder: str | os.PathLike) -> None:
        """Writes the files that `load` and other programs read."""

    @abstractmethod
    def with_tokens(self, tokens: Sequence[str], special: bool = True) -> Self:
        """Returns a tokenizer with more tokens, which get the next ids.

        Args:
            tokens: The new tokens' texts.
            special: Whether they mark something, so that no text becomes
                them unless allowed. False: ordinary text, found wherever it
                stands.

        Raises:
            InputError: A token is empty, given twice or known already.
        """

    @abstractmethod
    def _encode_texts(self, texts: list[str], first: bool) -> list[list[int]]:
        """Ids of texts without added tokens; `first`: nothing before them."""

    def _normalize(self, text: str) -> str:
        """What happens to a text before added tokens are cut the 2nd time."""
        return text

    @property
    def vocabulary_size(self) -> int:
        """One more than the highest id."""
        return len(self.pieces.table)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The id of each special token, in order of the ids."""
        return dict(self._special)

    @functools.cached_property
    def _special(self) -> dict[str, int]:
        tokens = sorted(self.added_tokens, key=lambda token: token.id)
        return {token.text: token.id for token in tokens if token.special}

    @functools.cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self._special.values())

    def has_token(self, token_id: int) -> bool:
        """Says whether a token has this id."""
        table = self.pieces.table
        return 0 <= token_id < len(table) and table[token_id] is not None

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

        Broken UTF-8 becomes U+FFFD first, exactly as in the graph engine. No
        id is added at the start or the end.

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

        >>> from keras_llm.tokenizers import HostTokenizer
        >>> tokenizer = HostTokenizer.train(["some text"], 261)
        >>> tokenizer.encode(b"hi\xff")
        [104, 105, 239, 191, 189]
        >>> tokenizer.encode("<|end|>", allowed_special={"<|end|>"})
        [260]
        """
        known = self._special
        allowed = special_names(allowed_special, known)
        refused = special_names(disallowed_special, known) - allowed
        single = isinstance(text, str | bytes)
        texts = [clean(t) for t in ([text] if single else text)]
        for one in texts:
            _refuse(one, refused)
        ids = self._encode(texts, allowed)
        return ids[0] if single else ids

    def encode_part(self, text: Text, first: bool = True) -> list[int]:
        """Returns the ids of a part of a text, for what joins parts itself.

        Special tokens spelled in it stay text.

        Args:
            text: The part, which goes to the next special token or the end.
            first: Whether nothing stands before it, not even a special
                token; some SentencePiece vocabularies add a space there.

        Example:

        >>> from keras_llm.tokenizers import HostTokenizer
        >>> tokenizer = HostTokenizer.train(["some text"], 261)
        >>> tokenizer.encode_part("hi", first=False)
        [104, 105]
        """
        return self._encode([clean(text)], frozenset(), first)[0]

    def _encode(
        self, texts: list[str], allowed: frozenset[str], first: bool = True
    ) -> list[list[int]]:
        tokens = [
            token
            for token in self.added_tokens
            if not token.special or token.text in allowed
        ]
        if tokens:
            return [self._encode_cut(text, tokens, first) for text in texts]
        texts = [self._normalize(text) for text in texts]
        return self._encode_texts(texts, first)

    def _encode_cut(
        self, text: str, tokens: list[AddedToken], first: bool
    ) -> list[int]:
        ids: list[int] = []
        for i, part in enumerate(cut(text, tokens, self._normalize)):
            if isinstance(part, int):
                ids.append(part)
            else:
                ids += self._encode_texts([part], first and i == 0)[0]
        return ids

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
        return data.decode("utf-8", errors=self.pieces.errors)

    def decode_bytes(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> bytes:
        """Returns the bytes of `ids`, which may end in half a character.

        Raises:
            InputError: No token has one of the ids.
        """
        skipped = self._special_ids if skip_special_tokens else frozenset()
        data, started = [], False
        for token_id in ids:
            if token_id not in skipped:
                piece = self.token_bytes(token_id, first=not started)
                data.append(piece)
                started |= bool(piece) or not self.pieces.waits
        return b"".join(data)

    def token_bytes(self, token_id: int, first: bool = False) -> bytes:
        """Returns the bytes of one token (UTF-8 text of a special token).

        Args:
            token_id: The token.
            first: Whether no text stands before it.

        Raises:
            InputError: No token has this id.
        """
        if not self.has_token(token_id):
            raise InputError(
                "Expected ids of tokens, from 0 to "
                f"{self.vocabulary_size - 1}. Received: {token_id}. Were "
                "these ids made with another tokenizer?"
            )
        table = self.pieces.first if first else self.pieces.table
        return table[token_id] or b""

    def incremental_decoder(self) -> IncrementalDecoder:
        """Returns a decoder that takes ids one by one, for streaming."""
        return IncrementalDecoder(
            self.token_bytes,
            lambda token_id: self.token_bytes(token_id, first=True),
            self.pieces.errors,
            self.pieces.waits,
        )


def special_names(special: Special, known: Mapping[str, int]) -> frozenset[str]:
    """Returns the special tokens that an argument of `encode` names.

    Raises:
        InputError: One of them does not exist.
    """
    if special == "all":
        return frozenset(known)
    names = frozenset(special)
    if isinstance(special, str) or not names <= known.keys():
        raise InputError(
            f'Expected "all" or special tokens out of {list(known)}. '
            f"Received: {special!r}."
        )
    return names


def _refuse(text: str, special: frozenset[str]) -> None:
    """Raises if `text` spells a refused token."""
    found = finder(special).search(text) if special else None
    if found:
        raise InputError(
            f"Expected text without special tokens. Received: {found[0]!r} at "
            f"character {found.start()}. Pass allowed_special="
            f"{{{found[0]!r}}} to encode it as its id, or "
            "disallowed_special=() to encode it like any other text."
        )
