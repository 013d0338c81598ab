"""How hard a text is to read: Flesch's formulas, for English alone."""

import re
from functools import lru_cache
from typing import NamedTuple

from keras_llm.data.quality.words import count_sentences, is_word, tokens_of
from keras_llm.errors import InputError

LANGUAGE = "en"
_PARAGRAPH = re.compile(r"\n\s*\n")
_VOWELS = re.compile("[aeiouy]+")
# An e that is not heard: at the end and before some endings, but for "table",
# "centre", "created", "places". Two vowels that are heard apart.
_SILENT = re.compile(
    r"(?<![aeiouy])e(?:ly|ness|ful|less|ments?)?$"
    r"|(?<![aeiousxzcg])(?<![sc]h)es$|(?<![aeiouytd])ed$|(?<=g)ue$"
    r"|^(?:some|there|where|every)(?=[a-z]{3})"
)
_HEARD = re.compile(r"[^aeiouyl]le[sd]?$|[bcdgt]re[sd]?$|^[^aeiouy]*e$")
_APART = re.compile(
    r"(?<![cstg])ia(?!m$|r|ge)|(?<![cstgxnh])io(?!ur)|iu|[^gq]ua(?:l|t)|iet"
    r"|(?<!fr)(?<![cst])ien|eo(?!us|n|p)|[aeoy]ing|[aeo]y(?:[ao]|er)|creat|idea|theat"
    r"|area|sm$|thm$"
)
_SHORT = {"mr": 2, "mrs": 2, "dr": 2, "vs": 2, "etc": 4}


class TextSize(NamedTuple):
    """What the formulas are made of.

    Example:

    >>> TextSize.of("The cat sat. It purred!")
    TextSize(words=5, sentences=2, syllables=5)
    """

    words: int
    sentences: int
    syllables: int

    @classmethod
    def of(cls, text: str) -> "TextSize":
        """Counts an English text.

        Words are runs of letters and digits; "don't" is one. A paragraph
        ends a sentence, so that a title is one.
        """
        words = [
            token
            for token in tokens_of(text)
            if is_word(token) and token[0] not in "'’"
        ]
        sentences = sum(
            count_sentences(part) for part in _PARAGRAPH.split(text)
        )
        return cls(len(words), sentences, sum(map(syllables, words)))


@lru_cache(maxsize=1 << 16)
def syllables(word: str) -> int:
    """Returns the syllables of an English word, one at least.

    They are counted by spelling: groups of vowels without silent endings.
    For 98 in 100 words of a text that is what a dictionary of pronunciations
    says; see docs/corpus_report.md.

    Example:

    >>> [syllables(word) for word in ("make", "table", "created", "rhythm")]
    [1, 2, 3, 2]
    """
    word = word.lower().removesuffix(".")
    if word in _SHORT:
        return _SHORT[word]
    heard = len(_VOWELS.findall(word)) + len(_APART.findall(word))
    if _SILENT.search(word) and not _HEARD.search(word):
        heard -= 1
    return max(1, heard)


def reading_ease(text: str) -> float:
    """Returns Flesch's reading ease of an English text: more is easier.

    60 to 70 is plain English, 0 to 30 the hardest; short words in short
    sentences give more than 100.

    Raises:
        InputError: The text has no word.

    Source: Flesch 1948, "A new readability yardstick",
    https://doi.org/10.1037/h0057532.

    Example:

    >>> round(reading_ease("The cat sat on the mat."), 2)
    116.15
    """
    size = _size(text)
    return ease_of(size)


def school_grade(text: str) -> float:
    """Returns the U.S. school grade of an English text, after Kincaid.

    Raises:
        InputError: The text has no word.

    Source: Kincaid et al. 1975, "Derivation of new readability formulas",
    https://stars.library.ucf.edu/istlibrary/56.

    Example:

    >>> round(school_grade("The cat sat on the mat."), 2)
    -1.45
    """
    return grade_of(_size(text))


def ease_of(size: TextSize) -> float:
    """Returns Flesch's reading ease from counts.

    Example:

    >>> round(ease_of(TextSize(words=100, sentences=5, syllables=150)), 3)
    59.635
    """
    length, weight = _ratios(size)
    return 206.835 - 1.015 * length - 84.6 * weight


def grade_of(size: TextSize) -> float:
    """Returns the Flesch-Kincaid grade from counts.

    Example:

    >>> round(grade_of(TextSize(words=100, sentences=5, syllables=150)), 2)
    9.91
    """
    length, weight = _ratios(size)
    return 0.39 * length + 11.8 * weight - 15.59


def _ratios(size: TextSize) -> tuple[float, float]:
    """Words of a sentence, and syllables of a word."""
    return size.words / size.sentences, size.syllables / size.words


def _size(text: str) -> TextSize:
    size = TextSize.of(text)
    if not size.words or not size.sentences:
        raise InputError(
            f"Expected an English text with words. Received: {text!r:.60}."
        )
    return size
