"""The vocabulary: which bytes each token stands for, and how bytes merge."""

import base64
import functools
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken, check_roles, numbered
from keras_llm.tokenizers.byte_text import bytes_of, spell
from keras_llm.tokenizers.pretokenize import SplitRule, split_rule

Ranks = Mapping[bytes, int]
Text = TypeVar("Text", bytes, str)
Pair = tuple[Text, Text]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Everything that decides which ids a text becomes. Never changes.

    Attributes:
        ranks: Id of every ordinary token by its bytes. A lower id merges
            earlier, as in tiktoken's rank files.
        special_tokens: Id of every special token by its text.
        pattern: Name of the split rule, see `pretokenize.PATTERNS`.
        bos: The special token that starts a text, or None.
        eos: The special token that ends a text, or None.
        text_tokens: Id of every added token that is ordinary text: found
            wherever it stands, before the text is split.
        flags: What else holds for an added token, by its text: "lstrip",
            "rstrip" or "normalized", see `AddedToken`.
        hidden: Id of every token that no text becomes and that decodes.
        normalizer: "nfc" (Unicode's composed form) or None.
        prefix_space: A text that does not start with a space gets one.

    Raises:
        InputError: A byte has no token, two tokens share an id, or `bos` or
            `eos` is not a special token.

    Example:

    >>> bytes_only = {bytes([byte]): byte for byte in range(256)}
    >>> vocabulary = Vocabulary({**bytes_only, b"ab": 256}, {"<end>": 257})
    >>> vocabulary.size, vocabulary.merges
    (258, [(b'a', b'b')])
    """

    ranks: Ranks
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    pattern: str = "gpt2"
    bos: str | None = None
    eos: str | None = None
    text_tokens: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    hidden: Ranks = field(default_factory=dict)
    normalizer: str | None = None
    prefix_space: bool = False

    def __post_init__(self) -> None:
        """Refuses what no engine could encode with."""
        object.__setattr__(self, "pattern", self.rule.name)
        missing = [b for b in range(256) if bytes([b]) not in self.ranks]
        if missing:
            raise InputError(
                "Expected a token for each of the 256 bytes, so that any text "
                f"can be encoded. Received: none for the bytes {missing[:8]}."
            )
        ids = [i for _, i in self._tokens()]
        if min(ids) < 0 or len(set(ids)) < len(ids):
            raise InputError(
                "Expected a different id of 0 or more for each token. "
                f"Received: {len(ids)} tokens with {len(set(ids))} different "
                f"ids, the lowest {min(ids)}."
            )
        _check_special(self)

    @property
    def rule(self) -> SplitRule:
        """The split rule itself."""
        return split_rule(self.pattern)

    @functools.cached_property
    def size(self) -> int:
        """One more than the highest id."""
        return max(i for _, i in self._tokens()) + 1

    @functools.cached_property
    def table(self) -> list[bytes | None]:
        """The bytes of each id, special tokens too; None for unused ids."""
        table: list[bytes | None] = [None] * self.size
        for token, token_id in self._tokens():
            table[token_id] = token
        return table

    def _tokens(self) -> Iterator[tuple[bytes, int]]:
        yield from self.ranks.items()
        yield from self.hidden.items()
        for tokens in (self.special_tokens, self.text_tokens):
            yield from ((text.encode(), i) for text, i in tokens.items())

    @functools.cached_property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """Special tokens and added tokens that are text, with their flags."""
        kinds = ((self.special_tokens, True), (self.text_tokens, False))
        return tuple(
            AddedToken(text, i, special, **self.flags.get(text, {}))
            for tokens, special in kinds
            for text, i in tokens.items()
        )

    def with_tokens(
        self, texts: Sequence[str], special: bool = True
    ) -> "Vocabulary":
        """Returns a vocabulary with more added tokens; ids follow on.

        Raises:
            InputError: A token is empty, given twice or known already.
        """
        taken = [token.text for token in self.added_tokens]
        new = numbered(texts, special, taken, self.size)
        name = "special_tokens" if special else "text_tokens"
        tokens = {**getattr(self, name), **{t.text: t.id for t in new}}
        return replace(self, **{name: tokens})

    def without_unreached(self) -> "Vocabulary":
        """Hides the tokens that no merge reaches: no text becomes them."""
        unreached = [t for t, pair in self.splits.items() if pair is None]
        hidden = {token: self.ranks[token] for token in unreached}
        ranks = {t: i for t, i in self.ranks.items() if t not in hidden}
        return replace(self, ranks=ranks, hidden={**self.hidden, **hidden})

    def normalize(self, text: str) -> str:
        """Returns the text as it is split: in Unicode's composed form.

        By the tables of `tokenizers`, which are newer than Python's.
        """
        if self.normalizer is None or text.isascii():
            return text
        return composer().normalize_str(text)

    @functools.cached_property
    def splits(self) -> dict[bytes, tuple[bytes, bytes] | None]:
        """The two tokens each longer token is merged from, in order of id.

        None for a token which merging never reaches, because its parts merge
        into something else first; such a token is only ever a whole word.
        """
        longer = sorted((r, t) for t, r in self.ranks.items() if len(t) > 1)
        return {token: used_pair(token, self.ranks) for _, token in longer}

    @functools.cached_property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in order, as GPT-2's `merges.txt` lists them."""
        return [pair for pair in self.splits.values() if pair is not None]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content as 64 hexadecimal digits."""
        special = _sorted(self.special_tokens)
        content: list[Any] = [self.pattern, self.bos, self.eos, special]
        if self._extras:
            content.append(self._extras)
        digest = hashlib.sha256(json.dumps(content).encode())
        digest.update(_pack_ranks(self.ranks))
        return digest.hexdigest()

    def to_config(self) -> dict[str, Any]:
        """Returns everything as a small dict that JSON can hold.

        GPT-2's 50,257 tokens take about 260 kB.
        """
        packed = zlib.compress(_pack_ranks(self.ranks), 9)
        return {
            "tokens": base64.b85encode(packed).decode("ascii"),
            "special_tokens": _sorted(self.special_tokens),
            "pattern": self.pattern,
            "bos": self.bos,
            "eos": self.eos,
            **self._extras,
        }

    @property
    def _extras(self) -> dict[str, Any]:
        """What few vocabularies have, as JSON can hold it."""
        extras = {
            "text_tokens": _sorted(self.text_tokens),
            "flags": {
                t: dict(sorted(f.items()))
                for t, f in sorted(self.flags.items())
                if f
            },
            "hidden": _sorted({spell(t): i for t, i in self.hidden.items()}),
            "normalizer": self.normalizer,
            "prefix_space": self.prefix_space,
        }
        return {name: value for name, value in extras.items() if value}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Vocabulary":
        """Returns the vocabulary that `to_config` described."""
        ranks = _unpack_ranks(
            zlib.decompress(base64.b85decode(config["tokens"]))
        )
        others = {k: v for k, v in config.items() if k != "tokens"}
        hidden = others.pop("hidden", {})
        others["hidden"] = {bytes_of(text): i for text, i in hidden.items()}
        return cls(ranks, **others)


@functools.cache
def composer() -> Any:
    """Returns the normalizer of `tokenizers` to Unicode's form NFC.

    Example:

    >>> composer().normalize_str("e\u0301") == "\u00e9"
    True
    """
    from tokenizers import normalizers

    return normalizers.NFC()


def _sorted(special_tokens: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(special_tokens.items(), key=lambda item: item[1]))


def _check_special(vocabulary: Vocabulary) -> None:
    special = vocabulary.special_tokens
    if "" in special or "" in vocabulary.text_tokens:
        raise InputError("Expected special tokens of some length. Received: ''")
    check_roles(special, vocabulary.bos, vocabulary.eos)
    if vocabulary.normalizer not in (None, "nfc"):
        raise InputError(
            'Expected normalizer None or "nfc". Received: '
            f"{vocabulary.normalizer!r}."
        )


def _pack_ranks(ranks: Ranks) -> bytes:
    """Returns the tokens in order of id: count, id steps, lengths, bytes."""
    tokens = sorted(ranks, key=ranks.__getitem__)
    ids = np.array([ranks[token] for token in tokens], "<i4")
    lengths = np.array([len(token) for token in tokens], "<i4")
    steps = np.diff(ids, prepend=np.int32(0)).astype("<i4")
    count = np.array([len(tokens)], "<i4")
    numbers = (count, steps, lengths)
    return b"".join([*(n.tobytes() for n in numbers), *tokens])


def _unpack_ranks(packed: bytes) -> dict[bytes, int]:
    (count,) = np.frombuffer(packed, "<i4", 1)
    steps = np.frombuffer(packed, "<i4", count, 4)
    lengths = np.frombuffer(packed, "<i4", count, 4 + 4 * count)
    ends = np.cumsum(lengths) + 4 + 8 * int(count)
    spans = zip(ends - lengths, ends, np.cumsum(steps), strict=True)
    return {packed[start:end]: int(rank) for start, end, rank in spans}


def used_pair(token: Text, ranks: Mapping[Text, int]) -> Pair[Text] | None:
    """Returns the two tokens that `token` is merged from, wherever it is.

    Where the two parts of a token meet in any text, the merges inside of them
    were the same as here. So this pair is the only one that needs a merge,
    and asking for it is the same as tiktoken's asking for the joined bytes.

    Args:
        token: Bytes, or a text whose merges start from characters.
        ranks: The rank of all tokens that merging makes.

    Returns:
        The pair, or None if merging never reaches the token.

    Example:

    >>> used_pair("abc", {"ab": 1, "abc": 2})
    ('ab', 'c')
    """
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, at = None, -1
        for i in range(len(parts) - 1):
            rank = ranks.get(parts[i] + parts[i + 1])
            if rank is not None and (best is None or rank < best):
                best, at = rank, i
        if best is None:
            return None
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
