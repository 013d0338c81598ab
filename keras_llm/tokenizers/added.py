"""Added tokens: texts that become one id, before anything else is looked at."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_llm.errors import InputError

# Unicode's White_Space; Python's `\s` has four control characters more.
_SPACE = r"[^\S\x1c-\x1f]*"


@dataclass(frozen=True)
class AddedToken:
    r"""A text that is one token, whatever the vocabulary makes of it.

    Attributes:
        text: What it is spelled like.
        id: Its id.
        special: A special token: it marks something (a turn, the end), and
            no text becomes it unless the caller allows it. Others are
            ordinary text and always found.
        lstrip: White space before it belongs to it.
        rstrip: White space after it belongs to it.
        normalized: Look for it after normalization, not before.

    Example:

    >>> AddedToken("<|user|>", 7, rstrip=True).flags
    {'rstrip': True}
    """

    text: str
    id: int
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False

    @property
    def flags(self) -> dict[str, bool]:
        """What is not at its default, `text` and `id` aside."""
        names = ("special", "lstrip", "rstrip", "normalized")
        defaults = AddedToken("", 0)
        return {
            name: getattr(self, name)
            for name in names
            if getattr(self, name) != getattr(defaults, name)
        }


def to_config(tokens: Iterable[AddedToken]) -> list[list[Any]]:
    """Returns the tokens as JSON can hold them, in order of their ids.

    Example:

    >>> to_config([AddedToken("<b>", 1), AddedToken("a", 0, special=False)])
    [['a', 0, {'special': False}], ['<b>', 1, {}]]
    """
    ordered = sorted(tokens, key=lambda token: token.id)
    return [[token.text, token.id, token.flags] for token in ordered]


def from_config(config: Iterable[Sequence[Any]]) -> tuple[AddedToken, ...]:
    """Returns the tokens that `to_config` described.

    Example:

    >>> from_config([["<b>", 1, {}]])[0].text
    '<b>'
    """
    return tuple(AddedToken(text, i, **flags) for text, i, flags in config)


def cut(
    text: str,
    tokens: Iterable[AddedToken],
    normalize: Callable[[str], str] | None = None,
) -> list[str | int]:
    """Cuts a text at its added tokens, as `tokenizers` does.

    The leftmost token comes first, of those that start together the longest.

    Args:
        text: The text.
        tokens: What to look for.
        normalize: Applied to what is between the tokens; tokens that are
            `normalized` are looked for after it.

    Returns:
        Ids of the tokens, and between them the (normalized) texts that are
        not empty.

    Example:

    >>> cut("a <b> c", [AddedToken("<b>", 7, rstrip=True)])
    ['a ', 7, 'c']
    """
    tokens = tuple(tokens)
    parts = _cut(text, tuple(t for t in tokens if not t.normalized))
    if normalize is not None:
        parts = [normalize(p) if isinstance(p, str) else p for p in parts]
    later = tuple(t for t in tokens if t.normalized)
    if not later:
        return parts
    if normalize is not None:
        later = tuple(
            AddedToken(normalize(t.text), t.id, **t.flags) for t in later
        )
    cuts = ([p] if isinstance(p, int) else _cut(p, later) for p in parts)
    return [part for parts in cuts for part in parts]


def _cut(text: str, tokens: tuple[AddedToken, ...]) -> list[str | int]:
    if not tokens:
        return [text] if text else []
    parts: list[str | int] = []
    known, done = {t.text: t for t in tokens}, 0
    for match in finder(frozenset(known)).finditer(text):
        token, (start, stop) = known[match[0]], match.span()
        if token.lstrip:
            start = max(start - space(text[:start][::-1]), done)
        if token.rstrip:
            stop += space(text[stop:])
        if start > done:
            parts.append(text[done:start])
        parts.append(token.id)
        done = stop  # as there, even if it was further before
    return [*parts, text[done:]] if done < len(text) else parts


def space(text: str) -> int:
    """Returns the length of the white space that a text starts with.

    Example:

    >>> space(" \\n a ")
    3
    """
    return len(_found(re.match(_SPACE, text)))


def _found(match: re.Match[str] | None) -> str:
    return match[0] if match else ""


@functools.lru_cache
def finder(texts: frozenset[str]) -> re.Pattern[str]:
    """Returns what finds the texts, the longest first.

    Example:

    >>> finder(frozenset(["a", "ab"])).findall("aba")
    ['ab', 'a']
    """
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, ordered)))


def check_roles(
    special: Iterable[str], bos: str | None, eos: str | None
) -> None:
    """Makes sure that what starts and ends a text is a special token.

    Raises:
        InputError: It is none.

    Example:

    >>> check_roles(["<s>"], bos="<s>", eos=None)
    """
    special = list(special)
    for role, token in (("bos", bos), ("eos", eos)):
        if token is not None and token not in special:
            raise InputError(
                f"Expected {role} to be a special token out of "
                f"{special}. Received: {token!r}."
            )


def numbered(
    texts: Sequence[str], special: bool, taken: Iterable[str], first: int
) -> list[AddedToken]:
    """Returns new tokens with the ids from `first` on.

    Raises:
        InputError: A token is empty, given twice, or known already.

    Example:

    >>> [token.id for token in numbered(["<a>", "<b>"], True, [], 9)]
    [9, 10]
    """
    if isinstance(texts, str) or not all(texts):
        raise InputError(
            "Expected a list of tokens of some length. Received: "
            f"{texts!r}. Pass for example ['<|user|>']."
        )
    taken = set(taken)
    for text in texts:
        if text in taken:
            raise InputError(
                "Expected tokens that the tokenizer does not have yet, each "
                f"once. Received: {text!r}. Leave it out."
            )
        taken.add(text)
    return [
        AddedToken(text, first + i, special) for i, text in enumerate(texts)
    ]
