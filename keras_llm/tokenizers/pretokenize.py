"""Split rules: how text is cut into words before any bytes are merged.

Each rule is data: one regular expression, which `tiktoken` and `tokenizers`
both run on the host, and the few numbers that describe the same rule to the
graph engine (`graph_split.py`), which has no regular expressions.
"""

import functools
from dataclasses import dataclass

import numpy as np

from keras_llm.errors import InputError

_LOWER = r"'s|'t|'re|'ve|'m|'ll|'d"
_ANY_CASE = rf"(?i:{_LOWER})"
_SPACES = r"\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_NEWLINES = r"\s*[\r\n]+"

LETTER, NUMBER, SPACE, OTHER = 1, 2, 4, 8
_BLOCK = 256


@dataclass(frozen=True)
class SplitRule:
    r"""One way to cut text into words.

    Attributes:
        name: What `pattern=` and the saved files call it.
        regex: The expression for `tiktoken` and `tokenizers`; both give the
            same words for it.
        modern: False for GPT-2's shape. True for the shape that GPT-4
            brought: contractions in any case, a word takes one symbol before
            it along, symbols take the newlines after them along.
        digits: Longest run of numbers in one word; 0 for no limit.
        joined_end: White space at the end of the text is one word even if it
            has newlines inside.
    """

    name: str
    regex: str
    modern: bool
    digits: int
    joined_end: bool = False


def _modern(name: str, digits: int, joined_end: bool = False) -> SplitRule:
    numbers = rf"\p{{N}}{{1,{digits}}}" if digits > 1 else r"\p{N}"
    end = (r"\s+\z",) if joined_end else ()
    parts = (_ANY_CASE, _WORDS, numbers, _SYMBOLS, *end, _NEWLINES, _SPACES)
    return SplitRule(name, "|".join(parts), True, digits, joined_end)


_GPT2 = rf"{_LOWER}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_SPACES}"

PATTERNS: dict[str, SplitRule] = {
    rule.name: rule
    for rule in (
        SplitRule("gpt2", _GPT2, modern=False, digits=0),
        _modern("gpt4", digits=3, joined_end=True),
        _modern("llama3", digits=3),
        _modern("qwen2", digits=1),
    )
}
"""The split rules by name.

- "gpt2": GPT-2's (also GPT-3, RoBERTa, OPT, Whisper).
- "gpt4": cl100k as `tiktoken` has it today, where white space at the end of
  the text is one word.
- "llama3": Llama 3's, which is cl100k as it was first published; Hugging
  Face's conversions of cl100k use it too.
- "qwen2": Llama 3's with every number a word of its own.
"""

_BY_REGEX = {rule.regex: rule for rule in PATTERNS.values()}

ALIASES: dict[str, str] = {
    "r50k_base": "gpt2",
    "p50k_base": "gpt2",
    "cl100k": "gpt4",
    "cl100k_base": "gpt4",
    "qwen2.5": "qwen2",
    "qwen3": "qwen2",
}


def split_rule(name: str) -> SplitRule:
    """Returns the rule called `name`, or the one its alias stands for.

    Raises:
        InputError: No rule has that name.

    Example:

    >>> split_rule("cl100k_base").name
    'gpt4'
    """
    rule = PATTERNS.get(ALIASES.get(name, name))
    if rule is None:
        raise InputError(
            f"Expected a split pattern out of {sorted(PATTERNS)} (or an alias "
            f"out of {sorted(ALIASES)}). Received: {name!r}."
        )
    return rule


def rule_of_regex(regex: str) -> SplitRule | None:
    """Returns the rule that cuts exactly like `regex`, or None.

    Only expressions known to be equal are recognized, as text.

    Example:

    >>> rule_of_regex(PATTERNS["qwen2"].regex).name
    'qwen2'
    """
    return _BY_REGEX.get(regex)


@functools.cache
def character_classes() -> tuple[np.ndarray, np.ndarray]:
    r"""Returns the class of every Unicode character as a two-level table.

    The classes are LETTER (`\p{L}`), NUMBER (`\p{N}`), SPACE (`\s`) and OTHER.
    They are read off tiktoken's own expression engine, not from the `regex`
    module or `unicodedata`: those follow other Unicode versions and disagree
    on thousands of characters, and the ids must be the same everywhere.

    Returns:
        `(blocks, classes)`: uint8 arrays; the class of code point c is
        `classes[blocks[c // 256] * 256 + c % 256]`. About 30 kB together.

    Example:

    >>> blocks, classes = character_classes()
    >>> code = ord("é")
    >>> int(classes[int(blocks[code // 256]) * 256 + code % 256]) == LETTER
    True
    """
    flat = np.full(0x110000, OTHER, np.uint8)
    for expression, value in (
        (r"\p{L}", LETTER),
        (r"\p{N}", NUMBER),
        (r"\s", SPACE),
    ):
        flat[_code_points(expression)] = value
    rows, blocks = np.unique(
        flat.reshape(-1, _BLOCK), axis=0, return_inverse=True
    )
    return blocks.reshape(-1).astype(np.uint8), rows.reshape(-1)


def _code_points(expression: str) -> np.ndarray:
    """Returns the code points that one-character `expression` matches."""
    import tiktoken

    # With the 256 bytes as its only tokens, tiktoken drops what the
    # expression does not match and returns the rest as it stands.
    engine = tiktoken.Encoding(
        "classes",
        pat_str=expression,
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={},
    )
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    matched = bytes(engine.encode_ordinary("".join(map(chr, points))))
    return np.frombuffer(matched.decode().encode("utf-32-le"), "<u4")
