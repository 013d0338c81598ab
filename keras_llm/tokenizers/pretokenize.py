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

# What a word of OpenAI's later rule is made of: capitals, then small letters;
# letters without case and marks are both.
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
# Of `tokenizers`' Digits; it follows a later Unicode than its expressions.
_NUMERAL = r"\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}"

LETTER, NUMBER, SPACE, OTHER = 1, 2, 4, 8
# Beside LETTER, LETTER and OTHER, where a rule asks for case.
UPPER, LOWER, MARK = 16, 32, 64
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
        digits: Longest run of numbers in one word; 0 for no limit. In GPT-2's
            shape, 1 means that all white space before a number is one word.
        joined_end: White space at the end of the text is one word even if it
            has newlines inside.
        case: A capital after a small letter starts a word, marks belong to
            letters, and symbols take slashes after newlines along.
        suffixes: With `case`: a contraction belongs to the word before it.
        numeral: What a number is, as the inside of a character class.
    """

    name: str
    regex: str
    modern: bool
    digits: int
    joined_end: bool = False
    case: bool = False
    suffixes: bool = False
    numeral: str = r"\p{N}"

    @property
    def alone(self) -> bool:
        """Whether ByteLevel's own expression is this rule."""
        return not self.modern and not self.digits

    @property
    def numerals_first(self) -> bool:
        """Whether numbers are cut out before anything else."""
        return not self.modern and self.digits == 1


def _with_case(name: str, digits: int, suffixes: bool) -> SplitRule:
    suffix = f"{_ANY_CASE}?" if suffixes else ""
    before = r"[^\r\n\p{L}\p{N}]?"
    numbers = rf"\p{{N}}{{1,{digits}}}" if digits > 1 else r"\p{N}"
    words = (f"{_UPPER}*{_SMALL}+", f"{_UPPER}+{_SMALL}*")
    words = tuple(f"{before}{word}{suffix}" for word in words)
    symbols = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
    parts = (*words, numbers, symbols, _NEWLINES, _SPACES)
    return SplitRule(
        name, "|".join(parts), True, digits, case=True, suffixes=suffixes
    )


def _modern(name: str, digits: int, joined_end: bool = False) -> SplitRule:
    numbers = rf"\p{{N}}{{1,{digits}}}" if digits > 1 else r"\p{N}"
    end = (r"\s+\z",) if joined_end else ()
    parts = (_ANY_CASE, _WORDS, numbers, _SYMBOLS, *end, _NEWLINES, _SPACES)
    return SplitRule(name, "|".join(parts), True, digits, joined_end)


_GPT2 = rf"{_LOWER}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_SPACES}"

_DIGITS = (
    rf"{_LOWER}| ?\p{{L}}+|[{_NUMERAL}]| ?[^\s\p{{L}}{_NUMERAL}]+"
    rf"|\s+(?![^\s{_NUMERAL}])|\s+"
)

PATTERNS: dict[str, SplitRule] = {
    rule.name: rule
    for rule in (
        SplitRule("gpt2", _GPT2, modern=False, digits=0),
        _modern("gpt4", digits=3, joined_end=True),
        _modern("llama3", digits=3),
        _modern("qwen2", digits=1),
        SplitRule("digits", _DIGITS, False, digits=1, numeral=_NUMERAL),
        _with_case("o200k", digits=3, suffixes=True),
        _with_case("tekken", digits=1, suffixes=False),
    )
}
"""The split rules by name.

- "gpt2": GPT-2's (also GPT-3, RoBERTa, OPT, Whisper).
- "gpt4": cl100k as `tiktoken` has it today, where white space at the end of
  the text is one word.
- "llama3": Llama 3's, which is cl100k as it was first published; Hugging
  Face's conversions of cl100k use it too.
- "qwen2": Llama 3's with every number a word of its own.
- "digits": GPT-2's after every digit was cut out (SmolLM2, StarCoder 2).
- "o200k": GPT-4o's, which looks at capitals (gpt-oss, Phi-4-mini).
- "tekken": the same without contractions, and every number a word of its own
  (Mistral Nemo).
"""

_BY_REGEX = {rule.regex: rule for rule in PATTERNS.values()}

ALIASES: dict[str, str] = {
    "r50k_base": "gpt2",
    "p50k_base": "gpt2",
    "cl100k": "gpt4",
    "cl100k_base": "gpt4",
    "qwen2.5": "qwen2",
    "qwen3": "qwen2",
    "smollm": "digits",
    "o200k_base": "o200k",
    "o200k_harmony": "o200k",
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


def digits_rule() -> SplitRule:
    """Returns GPT-2's rule after every digit was cut out.

    Example:

    >>> digits_rule().digits
    1
    """
    return next(r for r in PATTERNS.values() if r.numerals_first)


@functools.cache
def character_classes(
    numeral: str = r"\p{N}", case: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Returns the class of every Unicode character as a two-level table.

    The classes are LETTER (`\p{L}`), NUMBER (`\p{N}`), SPACE (`\s`) and OTHER;
    with `case`, UPPER or LOWER beside LETTER, and MARK beside OTHER.
    They are read off tiktoken's own expression engine, not from the `regex`
    module or `unicodedata`: those follow other Unicode versions and disagree
    on thousands of characters, and the ids must be the same everywhere.

    Args:
        numeral: What a number is, see `SplitRule`.
        case: Whether to tell capitals, small letters and marks apart.

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
    kinds = [(r"\p{L}", LETTER), (f"[{numeral}]", NUMBER), (r"\s", SPACE)]
    if case:
        kinds += [
            (r"[\p{Lu}\p{Lt}]", LETTER | UPPER),
            (r"\p{Ll}", LETTER | LOWER),
            (r"\p{M}", OTHER | MARK),
        ]
    for expression, value in kinds:
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
