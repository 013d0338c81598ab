"""Unicode's compositions as tables, read off `tokenizers`.

Not from Python's `unicodedata`, whose Unicode is another: the host and the
graph have to follow the same one. Only the order of marks comes from there,
which no version of Unicode changes.
"""

import functools
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

_POINTS = [*range(0xD800), *range(0xE000, 0x110000)]
_BETWEEN = "q|q"  # changes nothing and is changed by nothing
_LAST = "\u0345"  # of the highest class a mark can have
SHIFT = 21  # bits of a code point


@dataclass(frozen=True)
class ComposeTables:
    """What decides how characters are taken apart and put together.

    Attributes:
        whole: Code points that have parts, sorted.
        part_splits: Where each one's parts start in `parts`; one more.
        parts: Code points of all parts, in canonical order.
        pairs: `first << 21 | second` of the pairs that compose, sorted.
        joined: What each of them becomes.
        classes: Combining class of every code point; 0 for starters.
        joins: Which code points are the second of a pair.
        unsafe: Which code points a text in composed form may not have, or
            not everywhere.
    """

    whole: np.ndarray
    part_splits: np.ndarray
    parts: np.ndarray
    pairs: np.ndarray
    joined: np.ndarray
    classes: np.ndarray
    joins: np.ndarray
    unsafe: np.ndarray


@functools.cache
def compose_tables() -> ComposeTables:
    """Returns the tables; about a second the first time.

    Example:

    >>> tables = compose_tables()
    >>> key = ord("e") << SHIFT | 0x301
    >>> chr(tables.joined[np.searchsorted(tables.pairs, key)])
    'é'
    """
    from tokenizers import normalizers

    apart = _each(normalizers.NFD(), map(chr, _POINTS))
    parts = {
        point: text
        for point, text in zip(_POINTS, apart, strict=True)
        if text != chr(point)
    }
    pairs = _pairs(normalizers.NFC(), parts)
    classes = _classes(normalizers.NFD())
    joins = np.zeros(0x110000, bool)
    joins[[second for _, second in pairs]] = True
    unsafe = joins | (classes > 0)
    composite = set(pairs.values())
    unsafe[[point for point in parts if point not in composite]] = True
    whole = sorted(parts)
    lengths = [len(parts[point]) for point in whole]
    keys = {first << SHIFT | second: c for (first, second), c in pairs.items()}
    ordered = sorted(keys)
    return ComposeTables(
        whole=np.array(whole, "int32"),
        part_splits=np.cumsum([0, *lengths]).astype("int32"),
        parts=np.array([ord(c) for p in whole for c in parts[p]], "int32"),
        pairs=np.array(ordered, "int64"),
        joined=np.array([keys[key] for key in ordered], "int32"),
        classes=classes,
        joins=joins,
        unsafe=unsafe,
    )


def _each(normalizer: Any, texts: Any) -> list[str]:
    """Normalizes texts on their own, in one call."""
    return normalizer.normalize_str(_BETWEEN.join(texts)).split(_BETWEEN)


def _pairs(composer: Any, parts: dict[int, str]) -> dict[tuple[int, int], int]:
    """The pairs of characters that compose, and what to."""
    points = [point for point, text in parts.items() if len(text) > 1]
    firsts = _each(composer, (parts[point][:-1] for point in points))
    tries = [a + parts[p][-1] for a, p in zip(firsts, points, strict=True)]
    found = _each(composer, tries)
    return {
        (ord(pair[0]), ord(pair[1])): point
        for point, pair, text in zip(points, tries, found, strict=True)
        if len(pair) == 2 and text == chr(point)
    }


def _classes(splitter: Any) -> np.ndarray:
    """Combining classes: which characters have one is found by trying."""
    classes = np.zeros(0x110000, np.uint8)
    classes[ord(_LAST)] = unicodedata.combining(_LAST)
    tried = _each(splitter, (_LAST + chr(point) for point in _POINTS))
    marks = [
        point
        for point, text in zip(_POINTS, tried, strict=True)
        if text == chr(point) + _LAST != _LAST * 2
    ]
    examples = {unicodedata.combining(_LAST): _LAST}
    for point in marks:
        classes[point] = unicodedata.combining(chr(point))
        examples.setdefault(int(classes[point]), chr(point))
    for point in marks:
        if not classes[point]:  # a mark that is newer than Python
            classes[point] = _by_order(splitter, chr(point), examples)
    return classes


def _by_order(splitter: Any, mark: str, examples: dict[int, str]) -> int:
    """The highest class of those that a mark does not go before."""
    kept = (
        number
        for number, example in examples.items()
        if number and splitter.normalize_str(example + mark)[0] == example
    )
    return max(kept, default=1)
