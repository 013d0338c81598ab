"""A WordPiece vocabulary, and how a text becomes words."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import (
    AddedToken,
    check_roles,
    from_config,
    numbered,
    to_config,
)
from keras_llm.tokenizers.base import Pieces


@dataclass(frozen=True, eq=False)
class WordVocabulary:
    """Everything that decides which ids a text becomes. Never changes.

    Attributes:
        tokens: Id of every token by its text.
        added: Added tokens, special or not.
        bos: The special token that starts a text, or None.
        eos: The special token that ends a text, or None.
        unknown: What a word becomes that has no pieces.
        prefix: How a piece starts that does not start a word.
        longest: Longer words, in characters, are unknown.
        clean_text: Whether control characters go, and all white space is the
            same.
        handle_chinese_chars: Whether each Chinese character is a word.
        strip_accents: Whether accents go; None: if texts are lower case.
        lowercase: Whether texts become lower case.
        cleanup: Whether the text of ids has no space before a full stop.

    Raises:
        InputError: There is no token `unknown`, two tokens share an id, or
            `bos` or `eos` is not a special token.

    Example:

    >>> words = WordVocabulary({"[UNK]": 0, "rose": 1, "##s": 2})
    >>> words.engine.encode("rose roses").tokens
    ['rose', 'rose', '##s']
    """

    tokens: Mapping[str, int]
    added: tuple[AddedToken, ...] = ()
    bos: str | None = None
    eos: str | None = None
    unknown: str = "[UNK]"
    prefix: str = "##"
    longest: int = 100
    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True
    cleanup: bool = True

    def __post_init__(self) -> None:
        """Refuses what no engine could encode with."""
        ids = {**self.tokens, **{t.text: t.id for t in self.added}}.values()
        if not ids or min(ids) < 0 or len(set(ids)) < len(ids):
            raise InputError(
                "Expected a different id of 0 or more for each token. "
                f"Received: {len(ids)} tokens with {len(set(ids))} different "
                "ids."
            )
        if self.unknown not in self.tokens:
            raise InputError(
                f"Expected the token {self.unknown!r} for unknown words. "
                f"Received: {len(self.tokens)} others."
            )
        special = (token.text for token in self.added if token.special)
        check_roles(special, self.bos, self.eos)

    @functools.cached_property
    def normalizer(self) -> Any:
        """The normalizer of `tokenizers`."""
        from tokenizers import normalizers

        return normalizers.BertNormalizer(
            self.clean_text,
            self.handle_chinese_chars,
            self.strip_accents,
            self.lowercase,
        )

    @functools.cached_property
    def engine(self) -> Any:
        """The `tokenizers.Tokenizer` for normalized texts."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        engine = Tokenizer(
            models.WordPiece(
                vocab=dict(self.tokens),
                unk_token=self.unknown,
                max_input_chars_per_word=self.longest,
                continuing_subword_prefix=self.prefix,
            )
        )
        engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return engine

    @functools.cached_property
    def pieces(self) -> Pieces:
        """What the ids spell."""
        from tokenizers import decoders

        decoder = decoders.WordPiece(prefix=self.prefix, cleanup=self.cleanup)
        names = dict(self.tokens)
        for token in self.added:  # shown as it is looked for
            names.pop(token.text, None)
            text = token.text
            if token.normalized:
                text = self.normalizer.normalize_str(text)
            names[text] = token.id
        table: list[bytes | None] = [None] * (max(names.values()) + 1)
        first = list(table)
        for name, token_id in names.items():
            first[token_id] = decoder.decode([name]).encode()
            table[token_id] = decoder.decode(["", name]).encode()
        return Pieces(table, first)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content as 64 hexadecimal digits."""
        content = json.dumps(self.to_config(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def with_tokens(
        self, texts: Sequence[str], special: bool = True
    ) -> "WordVocabulary":
        """Returns a vocabulary with more added tokens; ids follow on.

        Raises:
            InputError: A token is empty, given twice or known already.
        """
        taken = [*self.tokens, *(token.text for token in self.added)]
        new = numbered(texts, special, taken, len(self.pieces.table))
        return replace(self, added=(*self.added, *new))

    def to_config(self) -> dict[str, Any]:
        """Returns everything as a dict that JSON can hold."""
        return {
            "tokens": dict(self.tokens),
            "added": to_config(self.added),
            **{name: getattr(self, name) for name in SETTINGS},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "WordVocabulary":
        """Returns the vocabulary that `to_config` described."""
        return cls(**{**config, "added": from_config(config["added"])})


SETTINGS = (
    *("bos", "eos", "unknown", "prefix", "longest", "clean_text"),
    *("handle_chinese_chars", "strip_accents", "lowercase", "cleanup"),
)
