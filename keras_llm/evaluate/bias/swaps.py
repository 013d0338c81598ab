"""The same text about somebody else: words swapped in both directions."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.evaluate.bias.terms import Found, Terms, lowered
from keras_llm.files import read_settings

SWAPS = Path(__file__).with_name("swaps.yaml")

# What each becomes before a noun, and elsewhere.
_PRONOUNS = {"her": ("his", "him"), "his": ("her", "hers")}
_POSSIBLE = frozenset(word for both in _PRONOUNS.values() for word in both)
_NEXT = re.compile(r"\s+[\"'\u201c\u2018]?\s*(\w+)")
_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)
# Begin no noun phrase: after one of these words stands "him", not "his".
_NO_NOUN = frozenset(
    """
    a about above across after afterwards again against all almost alone along
    already also although always am among an and another any anybody anyone
    anything are around as aside at away be because been before behind below
    beside besides better between beyond both but by came can capable come
    could did do does down downstairs during each either enough entirely even
    ever everybody everyone everything except fast for forward from get go had
    has have he her here hers herself himself his how however i if immediately
    in indeed inside instead into is it its just know leave less lest like
    looking madam may me might much must my near never no nobody nor not
    nothing now of off often on once or otherwise our out outside over
    overboard perhaps please rather round said shall she should since sir so
    some somebody someone something somewhat soon speak still such than that
    the their them then there these they this those though through throughout
    till to together too toward towards twice under unless until up upon
    upstairs us was we well were what whatever when whenever where whether
    which while who whom whose why will with within without would yes yet you
    your
    """.split()
)
_SOUNDS_A = re.compile(r"(?!eu|uk|uni|use|one)[aeiou]|heir|honest|honou?r|hour")


class Swapped(NamedTuple):
    """A text about somebody else.

    Attributes:
        text: With every word swapped.
        first: Words of the first group that were replaced.
        second: Words of the second group that were replaced.

    Example:

    >>> Swapped("She smiled.", 1, 0).first
    1
    """

    text: str
    first: int
    second: int


class Swap:
    """Two groups, and the words that are swapped.

    Args:
        name: Of the swap.
        groups: Names of the two groups.
        pairs: Words of the first and of the second. Where a word has several
            partners, the first counts. See `Terms` for upper and lower case.

    Raises:
        InputError: There is no pair, or a word is on both sides.

    Example:

    >>> swap = load_swaps()["gender"]
    >>> swap("HE gave her his book; the book is hers.").text
    'SHE gave him her book; the book is his.'
    >>> Swap("food", ("a", "b"), [("apple", "pear")])("An apple.").text
    'A pear.'
    """

    def __init__(
        self,
        name: str,
        groups: tuple[str, str],
        pairs: Sequence[tuple[str, str]],
    ):
        self.name, self.groups = name, groups
        self._first = frozenset(a for a, _ in pairs)
        both = sorted(self._first & {b for _, b in pairs})
        if both or not pairs:
            raise InputError(
                f"Expected pairs of words in the swap {name}, each word on "
                "one side only. Received: "
                f"{repr(both[0]) + ' on both sides' if both else 'no pair'}."
            )
        self._partners: dict[str, str] = {}
        for a, b in pairs:
            self._partners.setdefault(a, b)
            self._partners.setdefault(b, a)
        self._terms = Terms(self._partners)

    def __call__(self, text: str) -> Swapped:
        """Swaps every word of both groups, keeping case and articles.

        A capital stays a capital, capitals stay capitals; "a" and "an" before
        a swapped word follow its first sound, guessed by spelling. "her"
        becomes "his" where the next word may begin a noun phrase and "him"
        elsewhere, "his" becomes "her" or "hers" by the same rule;
        docs/bias.md has how often that is right.
        """
        pieces, end, first = [], 0, 0
        found = list(self._terms.find(text))
        for one in found:
            word = _in_case(self._partner(one, text), text[one.start : one.end])
            pieces += [_with_article(text[end : one.start], word), word]
            end = one.end
            first += one.term in self._first
        return Swapped(
            "".join([*pieces, text[end:]]), first, len(found) - first
        )

    def _partner(self, found: Found, text: str) -> str:
        partner = self._partners[found.term]
        if found.term not in _PRONOUNS or partner not in _POSSIBLE:
            return partner
        follows = _NEXT.match(text, found.end)
        noun = follows and lowered(follows[1]) not in _NO_NOUN
        return _PRONOUNS[found.term][0 if noun else 1]


def load_swaps(path: str | os.PathLike | None = None) -> dict[str, Swap]:
    """Reads swaps from YAML: names, each with `groups` and `pairs`.

    Args:
        path: Your file. Default: the package's own, `swaps.yaml`: gender,
            names, ethnic_names, christian_muslim, christian_hindu,
            american_mexican, american_nigerian, american_russian.

    Returns:
        `Swap` by name.

    Raises:
        InputError: The file is missing or has another form.

    Example:

    >>> load_swaps()["names"]("James saw a rose.").text
    'Mary saw a rose.'
    """
    path = Path(path or SWAPS)
    if not path.is_file():
        raise InputError(
            f"Expected a YAML file of swaps. Received: {path}, which is none."
        )
    return {
        str(name): _swap(str(name), value, path)
        for name, value in read_settings(path).items()
    }


def _swap(name: str, value: Any, path: Path) -> Swap:
    value = value if isinstance(value, Mapping) else {}
    groups, pairs = _twos([value.get("groups")]), _twos(value.get("pairs"))
    if not groups or not pairs:
        raise InputError(
            f"Expected `groups: [one, other]` and `pairs` of two words each "
            f"for {name} in {path}. Received: {dict(value)!r:.80}. Put words "
            'such as "no" and "on" in quotes.'
        )
    return Swap(name, groups[0], pairs)


def _twos(values: Any) -> list[tuple[str, str]]:
    """Lists of two words as pairs; none where anything else is among them."""
    pairs = [
        (value[0], value[1])
        for value in values or ()
        if isinstance(value, list)
        and len(value) == 2
        and all(isinstance(word, str) for word in value)
    ]
    return pairs if len(pairs) == len(values or ()) else []


def _in_case(word: str, model: str) -> str:
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[0].upper() + word[1:] if model[0].isupper() else word


def _with_article(between: str, word: str) -> str:
    """The text before a word, ending in its article where it has one."""

    def fit(found: re.Match) -> str:
        article = "an" if _SOUNDS_A.match(lowered(word)) else "a"
        return _in_case(article, found[1]) + found[2]

    return _ARTICLE.sub(fit, between)
