"""tiktoken as the engine behind `HostTokenizer`, and what it must not get."""

import functools
import os
import re
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.vocabulary import Vocabulary

_LONGEST_SPACE = 400_000


class HostEngine:
    """tiktoken's engine for a vocabulary, built when first used."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Keeps the vocabulary."""
        self.vocabulary = vocabulary

    @functools.cached_property
    def engine(self) -> Any:
        """The `tiktoken.Encoding`."""
        import tiktoken

        return tiktoken.Encoding(
            self.vocabulary.fingerprint,
            pat_str=self.vocabulary.rule.regex,
            mergeable_ranks=dict(self.vocabulary.ranks),
            special_tokens={},
        )

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Returns the ids of valid texts; several texts go in threads."""
        for text in texts:
            _refuse(text)
        if self.vocabulary.prefix_space:
            texts = [_with_space(text) for text in texts]
        if len(texts) == 1:
            return [self.engine.encode_ordinary(texts[0])]
        return self.engine.encode_ordinary_batch(
            texts, num_threads=os.cpu_count() or 1
        )


def _with_space(text: str) -> str:
    return text if not text or text.startswith(" ") else f" {text}"


def _refuse(text: str) -> None:
    """Raises if `text` would crash tiktoken.

    Its expression engine keeps one state per white-space character and
    panics at a fixed number of them.
    """
    if len(text) > _LONGEST_SPACE and re.search(
        rf"\s{{{_LONGEST_SPACE}}}", text
    ):
        raise InputError(
            f"Expected less than {_LONGEST_SPACE:,} white-space characters in "
            "a row. Received: more. Is this a text?"
        )
