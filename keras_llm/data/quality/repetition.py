"""The repetition rules of Gopher: paragraphs, lines and n-grams said again."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from keras_llm.data.quality.rules import (
    Page,
    Rule,
    check_limits,
    rules_step,
    share,
)
from keras_llm.data.steps import Step

# Odd, and far larger than any vocabulary: n-grams do not meet by accident.
_BASE = np.uint64(0x9E3779B97F4A7C15)
TOP = ((2, 0.20), (3, 0.18), (4, 0.16))
REPEATED = (
    (5, 0.15),
    (6, 0.14),
    (7, 0.13),
    (8, 0.12),
    (9, 0.11),
    (10, 0.10),
)


def gopher_repetition(
    paragraphs: float | None = 0.3,
    paragraph_characters: float | None = 0.2,
    lines: float | None = 0.3,
    line_characters: float | None = 0.2,
    top: Sequence[tuple[int, float]] = TOP,
    repeated: Sequence[tuple[int, float]] = REPEATED,
) -> Step:
    """Drops texts that repeat themselves, by Gopher's repetition rules.

    All limits are the largest share that may stay; None switches a rule off.

    Args:
        paragraphs: Share of paragraphs that stood in the text before.
        paragraph_characters: Their characters per character of text.
        lines: Share of lines that stood in the text before.
        line_characters: Their characters per character of text.
        top: Pairs (n, share): characters in the most frequent n-gram, all its
            places together, per character of text. Ascending n.
        repeated: Pairs (n, share): characters in n-grams that stood in the
            text before, each counted once. Ascending n.

    Raises:
        InputError: A limit is no number.

    Source: Rae et al. (2021), https://arxiv.org/abs/2112.11446, table A1;
    tokens, ties and order as in datatrove 0.10.1.

    Example:

    >>> from keras_llm.data import Counts, Document
    >>> counts = Counts("gopher_repetition")
    >>> echo = Document("Buy now and save. " * 30, "a")
    >>> list(gopher_repetition()([echo], counts))
    []
    >>> dict(counts.dropped)
    {'gopher: most frequent 2-gram': 1}
    """
    limits = {
        "paragraphs": paragraphs,
        "paragraph_characters": paragraph_characters,
        "lines": lines,
        "line_characters": line_characters,
    }
    check_limits(limits)
    check_limits({f"the share of {n}-grams": s for n, s in (*top, *repeated)})
    rules = [
        Rule("gopher: repeated paragraphs", _paragraphs, high=paragraphs),
        Rule(
            "gopher: characters of repeated paragraphs",
            _paragraph_characters,
            high=paragraph_characters,
        ),
        Rule("gopher: repeated lines", _lines, high=lines),
        Rule(
            "gopher: characters of repeated lines",
            _line_characters,
            high=line_characters,
        ),
        *(
            Rule(f"gopher: most frequent {n}-gram", partial(_top, n), high=most)
            for n, most in top
        ),
        *(
            Rule(f"gopher: repeated {n}-grams", partial(_again, n), high=most)
            for n, most in repeated
        ),
    ]
    settings = {**limits, "top": list(top), "repeated": list(repeated)}
    return rules_step("gopher_repetition", rules, settings)


def repeated(parts: Sequence[str]) -> tuple[int, int]:
    """Counts the parts that stood before, and their characters.

    Example:

    >>> repeated(["yes", "no", "yes"])
    (1, 3)
    """
    number = len(parts) - len(set(parts))
    if not number:
        return 0, 0
    characters = sum(map(len, parts)) - sum(map(len, set(parts)))
    return number, characters


def _paragraphs(page: Page) -> float:
    return share(repeated(page.blocks)[0], len(page.blocks))


def _paragraph_characters(page: Page) -> float:
    return share(repeated(page.blocks)[1], len(page.text))


def _lines(page: Page) -> float:
    return share(repeated(page.rows)[0], len(page.rows))


def _line_characters(page: Page) -> float:
    return share(repeated(page.rows)[1], len(page.text))


def _top(n: int, page: Page) -> float:
    """Returns the share of the most frequent n-gram; the first one of ties."""
    grams = ngrams(page.numbers, n)
    if not len(grams):
        return 0.0
    ordered = np.sort(grams)
    ends = np.append(
        np.flatnonzero(ordered[1:] != ordered[:-1]), len(grams) - 1
    )
    counts = np.diff(ends, prepend=-1)
    most = counts.max()
    place = _places(grams, ordered[ends[counts == most]])[0]
    length = page.lengths[place : place + n].sum() + n - 1
    return share(int(length * most), len(page.text))


def _again(n: int, page: Page) -> float:
    """Returns the share of n-grams that stood before.

    After one that did, the search goes on behind it; what it covers is not
    remembered as an n-gram.
    """
    grams = ngrams(page.numbers, n)
    seen: set[int] = set()
    free = characters = 0
    for place, gram in _repeating(grams):
        if place < free:
            continue
        if gram in seen:
            characters += int(page.lengths[place : place + n].sum())
            free = place + n
        seen.add(gram)
    return share(characters, len(page.text))


def _repeating(grams: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields place and n-gram where an n-gram has more than one place."""
    ordered = np.sort(grams)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        places = _places(grams, twice)
        yield from zip(places.tolist(), grams[places].tolist(), strict=True)


def _places(grams: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Returns where one of the given n-grams stands; they are in order."""
    found = np.searchsorted(ordered, grams)
    return np.flatnonzero(ordered[found.clip(max=len(ordered) - 1)] == grams)


def ngrams(words: np.ndarray, n: int) -> np.ndarray:
    """Returns one 64-bit number per n-gram; equal n-grams have equal numbers.

    Two different n-grams get the same number about once in 2**64 pairs.

    Args:
        words: A number for each word, (words,) uint64.
        n: Words in an n-gram.

    Returns:
        (words - n + 1,) uint64; empty where there are fewer words.

    Example:

    >>> pairs = ngrams(np.array([7, 8, 7, 8], np.uint64), 2)
    >>> bool(pairs[0] == pairs[2]), bool(pairs[0] == pairs[1])
    (True, False)
    """
    size = max(len(words) - n + 1, 0)
    total = words[:size].copy()
    for offset in range(1, n):
        total = total * _BASE + words[offset : offset + size]
    return total
