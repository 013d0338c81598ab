"""Words, sentences and line ends, as the quality rules count them."""

import re
import unicodedata
from functools import cache, lru_cache

_TITLES = "Mr Mrs Ms Dr St Prof Sr Jr Gen Col Capt Rev Hon vs etc".split()
_CLITIC = r"['’](?:s|re|ve|ll|d|m|t|S|RE|VE|LL|D|M|T)\b"
# Zero-width joiners, and the planes of rare scripts, without the emoji.
_ALSO_IN_WORDS = "\u200c\u200d\U00010000-\U0001efff\U00020000-\U0003ffff"
_SENTENCE_END = re.compile(
    "".join(rf"(?<!\b{title})" for title in _TITLES)
    + r"(?<!\b[A-Za-z])(?<!\.)[.!?。！？]+(?=[\"'”’)\]]*(?:\s|$))"
)
_RANGES = """
    21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362
    1367-1368 166e 1735-1736 17d4-17d5 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b
    1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c
    2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9
    aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57
    10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6
    111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3
    115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c
    11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44
    16e98 1bc9f 1da88
"""


def _characters(ranges: str) -> tuple[str, ...]:
    """Returns the characters of ranges of code points in hexadecimal."""
    ends = [[int(end, 16) for end in r.split("-")] for r in ranges.split()]
    return tuple(chr(c) for r in ends for c in range(r[0], r[-1] + 1))


# The characters with Unicode's property Sentence_Terminal.
TERMINAL_PUNCTUATION = _characters(_RANGES)


@cache
def _token() -> re.Pattern[str]:
    r"""Returns the pattern of words and marks, built on first use.

    As spaCy's English tokenizer has it: a clitic is a word of its own
    ("don't" is two), others are not ("o'clock"); titles and initials keep
    their full stop; "3.14", "GPT-2", "...", "--" and WikiText's "@-@" are one
    token each. Vowel signs belong to words, which `\w` does not know.
    """
    known = filter(_in_word, map(chr, range(0x10000)))
    word = f"[{''.join(known)}{_ALSO_IN_WORDS}]"
    return re.compile(
        rf"(?=[A-Z])(?:[A-Z]|{'|'.join(_TITLES)})\.(?!\w)"
        r"|[^\W\d_]\.(?:[^\W\d_]\.)+(?!\w)"
        rf"|{word}+(?:[.,]\d+|(?<=[^\W\d_])-\d+|(?!{_CLITIC})['’]{word}+)*"
        rf"|{_CLITIC}|\.\.+|-{{2,}}|@[.,-]@|[^\w\s]|_"
    )


def _in_word(character: str) -> bool:
    """Says whether a character is a letter, a digit or a vowel sign."""
    return character.isalnum() or unicodedata.category(character)[0] == "M"


@lru_cache(maxsize=2)
def tokens_of(text: str) -> tuple[str, ...]:
    """Returns words and punctuation marks in order; the last texts are kept.

    Several rules in a row read the same text, so the last answers stay.

    Example:

    >>> tokens_of("Don't stop, Mr. Fox -- it's 3.14!")
    ('Don', "'t", 'stop', ',', 'Mr.', 'Fox', '--', 'it', "'s", '3.14', '!')
    """
    return tuple(_token().findall(text))


def is_word(token: str) -> bool:
    """Says whether a token has a letter or a digit; marks have none.

    Example:

    >>> [is_word(token) for token in ("'s", "Mr.", "--")]
    [True, True, False]
    """
    return token[0].isalnum() or token[-1].isalnum()


def count_sentences(line: str) -> int:
    """Counts sentences; what follows the last full stop is one, too.

    Example:

    >>> count_sentences('Mr. Fox ran. "Stop!" he cried')
    3
    """
    ends = [found.end() for found in _SENTENCE_END.finditer(line)]
    rest = line[ends[-1] if ends else 0 :]
    return len(ends) + any(map(str.isalnum, rest))
