"""tiktoken as the engine behind `HostTokenizer`, and what it must not get."""

import functools
import os
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from keras_llm.errors import InputError
from keras_llm.tokenizers.vocabulary import Vocabulary

Special = Literal["all"] | Collection[str]
_LONGEST_SPACE = 400_000


class HostEngine:
    """tiktoken's engine for a vocabulary, built when first used."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Keeps the vocabulary."""
        self.vocabulary = vocabulary

    @functools.cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids of all special tokens."""
        return frozenset(self.vocabulary.special_tokens.values())

    @functools.cached_property
    def engine(self) -> Any:
        """The `tiktoken.Encoding`."""
        import tiktoken

        return tiktoken.Encoding(
            self.vocabulary.fingerprint,
            pat_str=self.vocabulary.rule.regex,
            mergeable_ranks=dict(self.vocabulary.ranks),
            special_tokens=dict(self.vocabulary.special_tokens),
        )

    def encode(
        self, texts: list[str], allowed: frozenset[str], refused: frozenset[str]
    ) -> list[list[int]]:
        """Returns the ids of valid texts; several texts go in threads."""
        for text in texts:
            _refuse(text, refused)
        if allowed:
            encode = functools.partial(
                self.engine.encode,
                allowed_special=allowed,
                disallowed_special=(),
            )
            return [encode(text) for text in texts]
        if len(texts) == 1:
            return [self.engine.encode_ordinary(texts[0])]
        return self.engine.encode_ordinary_batch(
            texts, num_threads=os.cpu_count() or 1
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


@functools.lru_cache
def _finder(tokens: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tokens))))


def _refuse(text: str, special: frozenset[str]) -> None:
    """Raises if `text` spells a refused token or would crash tiktoken."""
    found = _finder(special).search(text) if special else None
    if found:
        raise InputError(
            f"Expected text without special tokens. Received: {found[0]!r} at "
            f"character {found.start()}. Pass allowed_special="
            f"{{{found[0]!r}}} to encode it as its id, or "
            "disallowed_special=() to encode it like any other text."
        )
    # tiktoken's expression engine keeps one state per white-space character
    # and panics at a fixed number of them.
    if len(text) > _LONGEST_SPACE and re.search(
        rf"\s{{{_LONGEST_SPACE}}}", text
    ):
        raise InputError(
            f"Expected less than {_LONGEST_SPACE:,} white-space characters in "
            "a row. Received: more. Is this a text?"
        )
