"""Learning a vocabulary from text, with the Rust trainer of `tokenizers`."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.byte_text import bytes_of, clean
from keras_llm.tokenizers.pretokenize import SplitRule, split_rule
from keras_llm.tokenizers.vocabulary import Vocabulary

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
)


def pre_tokenizer(rule: SplitRule, prefix_space: bool = False) -> Any:
    """Returns the `tokenizers` pre-tokenizer that cuts by `rule`.

    Args:
        rule: The split rule.
        prefix_space: Whether a text that does not start with a space gets
            one.

    Example:

    >>> pre_tokenizer(split_rule("gpt2")).pre_tokenize_str("a b")
    [('a', (0, 1)), ('Ġb', (1, 3))]
    """
    from tokenizers import Regex, pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel
    if rule.alone:
        return byte_level(add_prefix_space=prefix_space)
    if rule.numerals_first:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, byte_level(prefix_space)])
    split = pre_tokenizers.Split(Regex(rule.regex), "isolated")
    rest = byte_level(add_prefix_space=prefix_space, use_regex=False)
    return pre_tokenizers.Sequence([split, rest])


def train_vocabulary(
    texts: Iterable[str],
    vocabulary_size: int,
    pattern: str = "gpt2",
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    bos: str | None = "<|endoftext|>",
    eos: str | None = "<|endoftext|>",
    progress: bool = True,
) -> Vocabulary:
    """Learns byte-level merges; see `BytePairTokenizer.train`.

    Example:

    >>> found = train_vocabulary(["low lower lowest"] * 9, 263, progress=False)
    >>> found.merges
    [(b'l', b'o'), (b'lo', b'w')]
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    special_tokens = list(dict.fromkeys(special_tokens))
    room = _room(vocabulary_size, special_tokens)
    rule = split_rule(pattern)
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizer(rule)
    trainer = trainers.BpeTrainer(
        vocab_size=room,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=progress and sys.stderr.isatty(),
    )
    engine.train_from_iterator(_checked(texts), trainer)
    ranks = {bytes([byte]): byte for byte in range(256)}
    for left, right in json.loads(engine.to_str())["model"]["merges"]:
        ranks.setdefault(bytes_of(left + right), len(ranks))
    special = {t: len(ranks) + i for i, t in enumerate(special_tokens)}
    return Vocabulary(ranks, special, rule.name, bos, eos)


def _room(vocabulary_size: int, special_tokens: Sequence[str]) -> int:
    """Returns how many ordinary tokens there is room for."""
    least = 256 + len(special_tokens)
    if vocabulary_size < least:
        raise InputError(
            f"Expected vocabulary_size of at least {least} (256 bytes and "
            f"{len(special_tokens)} special tokens). Received: "
            f"{vocabulary_size}."
        )
    return vocabulary_size - len(special_tokens)


def _checked(texts: Iterable[str]) -> Iterator[str]:
    """Yields the texts; refuses one string, other types and no text at all."""
    if isinstance(texts, str | bytes):
        raise InputError(
            "Expected an iterable of texts to train on. Received: one "
            f"{type(texts).__name__}. Pass a list of texts."
        )
    empty = True
    for text in texts:
        if not isinstance(text, str):
            raise InputError(
                "Expected every text to train on to be a str. Received: "
                f"{type(text).__name__}."
            )
        empty = empty and not text
        yield clean(text)
    if empty:
        raise InputError(
            "Expected some text to train on. Received: an empty corpus. "
            "Check the paths and the filters that produced it."
        )
