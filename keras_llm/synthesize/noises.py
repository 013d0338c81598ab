"""Noises that leave a text's label alone: words moved, letters mistaken."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

PUNCTUATION = ".;?:!,"
_WORD = re.compile(r"[^\W\d_]+")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_READ_AS = {
    **{"l": "1", "1": "l", "i": "l", "I": "l", "O": "0", "o": "0", "0": "O"},
    **{"S": "5", "5": "S", "B": "8", "8": "B", "e": "c", "c": "e", "h": "b"},
    **{"rn": "m", "m": "rn", "cl": "d", "d": "cl", "vv": "w", "w": "vv"},
}
_READ = re.compile("|".join(sorted(_READ_AS, key=len, reverse=True)))


class Noise(NamedTuple):
    """What a noise may use.

    Attributes:
        chance: Where random numbers come from.
        strength: Share of words, or letters, that are changed; at least one.
        synonyms: Words that may stand for a word, both in lower case.

    Example:

    >>> Noise(random.Random(0), 0.1, {}).some(range(30))
    [27, 12, 24]
    """

    chance: random.Random
    strength: float
    synonyms: Mapping[str, Sequence[str]]

    def some(self, places: Sequence[int]) -> list[int]:
        """Returns the places to change, none twice; all where they are few."""
        count = max(1, round(self.strength * len(places)))
        return self.chance.sample(places, min(count, len(places)))


def swap(text: str, noise: Noise) -> str:
    """Returns a text in which words have changed places with others.

    Source: random swap of EDA, Wei and Zou 2019,
    https://aclanthology.org/D19-1670.

    Example:

    >>> swap("one two", Noise(random.Random(0), 0.1, {}))
    'two one'
    """
    words = text.split()
    if len(words) < 2:
        return text
    for _ in noise.some(range(len(words))):
        a, b = noise.chance.sample(range(len(words)), 2)
        words[a], words[b] = words[b], words[a]
    return " ".join(words)


def delete(text: str, noise: Noise) -> str:
    """Returns a text without some of its words; one at least stays.

    Source: random deletion of EDA, which draws for each word.

    Example:

    >>> delete("one two", Noise(random.Random(0), 0.1, {}))
    'one'
    """
    words = text.split()
    if len(words) < 2:
        return text
    gone = set(noise.some(range(len(words)))[: len(words) - 1])
    return " ".join(word for n, word in enumerate(words) if n not in gone)


def punctuate(text: str, noise: Noise) -> str:
    """Returns a text with punctuation marks put before some words.

    Source: AEDA, Karimi et al. 2021, https://arxiv.org/abs/2108.13230, which
    takes up to a third of the words, whatever the strength.

    Example:

    >>> punctuate("one two", Noise(random.Random(0), 0.1, {}))
    'one : two'
    """
    words = text.split()
    for place in sorted(noise.some(range(len(words))), reverse=True):
        words.insert(place, noise.chance.choice(PUNCTUATION))
    return " ".join(words)


def replace(text: str, noise: Noise) -> str:
    """Returns a text with synonyms in the place of some words.

    Source: synonym replacement of EDA, which takes them from WordNet.

    Example:

    >>> replace("A big dog", Noise(random.Random(0), 0.1, {"big": ["large"]}))
    'A large dog'
    """
    return _with_synonyms(text, noise, insert=False)


def insert(text: str, noise: Noise) -> str:
    """Returns a text with synonyms of some words put in anywhere.

    Source: random insertion of EDA.

    Example:

    >>> insert("A big dog", Noise(random.Random(0), 0.1, {"big": ["large"]}))
    'large A big dog'
    """
    return _with_synonyms(text, noise, insert=True)


def keyboard(text: str, noise: Noise) -> str:
    """Returns a text in which some letters are their neighbours' keys.

    Example:

    >>> keyboard("dog", Noise(random.Random(0), 0.1, {}))
    'dlg'
    """
    places = [n for n, letter in enumerate(text) if letter.lower() in _NEAR]
    letters = list(text)
    for place in noise.some(places) if places else ():
        near = noise.chance.choice(_NEAR[letters[place].lower()])
        letters[place] = near.upper() if letters[place].isupper() else near
    return "".join(letters)


def ocr(text: str, noise: Noise) -> str:
    """Returns a text in which some letters are read as others like them.

    Example:

    >>> ocr("corn", Noise(random.Random(0), 0.1, {}))
    'c0rn'
    """
    found = list(_READ.finditer(text))
    chosen = noise.some(range(len(found))) if found else ()
    for place in sorted(chosen, reverse=True):
        start, end = found[place].span()
        text = text[:start] + _READ_AS[found[place][0]] + text[end:]
    return text


def case(text: str, noise: Noise) -> str:
    """Returns a text with some words in the other case.

    Example:

    >>> case("dog", Noise(random.Random(0), 0.1, {}))
    'DOG'
    """
    found = list(_WORD.finditer(text))
    for place in noise.some(range(len(found))) if found else ():
        start, end = found[place].span()
        text = text[:start] + text[start:end].swapcase() + text[end:]
    return text


NOISES: dict[str, Callable[[str, Noise], str]] = {
    one.__name__: one
    for one in (swap, delete, punctuate, replace, insert, keyboard, ocr, case)
}
"""All noises by name."""
USUAL = ("swap", "delete", "punctuate")
"""Those that need nothing and leave words whole."""
WITH_SYNONYMS = ("replace", "insert")


def _neighbours() -> dict[str, str]:
    """The keys beside each letter on an English keyboard."""
    places = {
        letter: (row, column + row / 2)
        for row, letters in enumerate(_ROWS)
        for column, letter in enumerate(letters)
    }
    return {
        letter: "".join(
            other
            for other, (r, c) in places.items()
            if other != letter and abs(r - row) <= 1 and abs(c - column) <= 1
        )
        for letter, (row, column) in places.items()
    }


_NEAR = _neighbours()


def _with_synonyms(text: str, noise: Noise, insert: bool) -> str:
    words = text.split()
    known = [
        n
        for n, word in enumerate(words)
        if noise.synonyms.get(word.lower().strip(PUNCTUATION))
    ]
    for place in sorted(noise.some(known), reverse=True) if known else ():
        word = words[place].lower().strip(PUNCTUATION)
        new = noise.chance.choice(noise.synonyms[word])
        if insert:
            words.insert(noise.chance.randint(0, len(words)), new)
        else:
            words[place] = words[place].lower().replace(word, new)
    return " ".join(words)
