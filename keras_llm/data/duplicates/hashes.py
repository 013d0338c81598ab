"""Hashes of the words and n-grams of many texts at once, in numpy alone.

They depend on the letters only: not on the machine, the run or the other
texts, so shards may be hashed anywhere.
"""

import functools
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_llm.data.duplicates.ngram_index import ngram_hashes

_BASE = 0xD1342543DE82EF95  # odd, so it has an inverse modulo 2**64
_INVERSE = pow(_BASE, -1, 1 << 64)
_CHUNK = 1 << 17  # characters at a time: what fits a processor's cache
_LAST_LETTER = 0x3FFFF  # what Unicode has above is no part of a word

# Scripts written without spaces: each letter stands for a word.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


def mixed(values: np.ndarray) -> np.ndarray:
    """Returns uint64 numbers whose every bit depends on all of a value's.

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators" (SplitMix64), https://doi.org/10.1145/2714064.2660195.

    Example:

    >>> hex(int(mixed(np.array([1], "uint64"))[0]))
    '0x910a2dec89025cc1'
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(
        0xBF58476D1CE4E5B9
    )
    values = (values ^ (values >> np.uint64(27))) * np.uint64(
        0x94D049BB133111EB
    )
    return values ^ (values >> np.uint64(31))


def shingles(
    texts: Iterable[str], words: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the n-grams of words of a few texts at a time, as numbers.

    A word is a run of letters, digits and marks, in lower case; in Chinese,
    Japanese, Thai, Lao, Khmer and Burmese it is a letter.

    Args:
        texts: Any iterable.
        words: Words of an n-gram.

    Yields:
        uint64 `(n-grams,)`, one text after the other, and int64 `(texts,)`:
        where the n-grams of each text end. A text of fewer words has none.

    Example:

    >>> ((numbers, ends),) = shingles(["A rose is", "a ROSE, is a", "no"], 3)
    >>> ends.tolist(), bool(numbers[0] == numbers[1])
    ([1, 3, 3], True)
    """
    for batch in _batches(texts):
        hashes, ends = _word_hashes(batch)
        grams = mixed(ngram_hashes(hashes, words))
        begins = np.concatenate([[0], ends[:-1]])
        counts = np.maximum(ends - begins - (words - 1), 0)
        starts = np.repeat(begins - (np.cumsum(counts) - counts), counts)
        yield grams[starts + np.arange(len(starts))], np.cumsum(counts)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yields lists of texts of about a chunk together, or one longer text."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > _CHUNK:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns a hash of each word, and where the words of each text end."""
    if len(texts) == 1:
        parts = [_hash_words(part)[0] for part in _parts(texts[0])]
        hashes = np.concatenate(parts)
        return hashes, np.array([len(hashes)])
    lowered = [text.lower() for text in texts]
    hashes, begins = _hash_words("\n".join(lowered))
    lengths = np.fromiter(map(len, lowered), "int64") + 1
    return hashes, np.searchsorted(begins, np.cumsum(lengths))


def _parts(text: str) -> Iterator[str]:
    """Yields a text in parts of a chunk, in lower case, cut at spaces."""
    start = 0
    while len(text) - start > _CHUNK:
        cut = text.rfind(" ", start, start + _CHUNK) + 1
        end = cut if cut > start else start + _CHUNK
        yield text[start:end].lower()
        start = end
    yield text[start:].lower()


def _hash_words(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a hash of each word of a text, and where it begins.

    A word's hash is the polynomial of its letters: the difference of two
    prefix sums, divided by the power of the place.
    """
    data = text.encode("utf-32-le")
    codes = np.frombuffer(data, "<u4")
    kind = np.zeros(len(codes) + 2, "uint8")
    kind[1:-1] = _kinds()[codes]
    breaks = (kind[1:] != kind[:-1]) | (kind[1:] == 2)
    begins = np.flatnonzero(breaks[:-1] & (kind[1:-1] > 0))
    ends = np.flatnonzero(breaks[1:] & (kind[1:-1] > 0)) + 1
    # A lone letter breaks before itself; the one before it ends there, too.
    up, down = _powers(len(codes))
    sums = np.zeros(len(codes) + 1, "uint64")
    np.cumsum(codes * up, out=sums[1:])
    return (sums[ends] - sums[begins]) * down[begins], begins


@functools.lru_cache(1)
def _all_powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    up, down = np.full((2, length), 1, "uint64")
    up[1:], down[1:] = np.uint64(_BASE), np.uint64(_INVERSE)
    return np.cumprod(up), np.cumprod(down)


def _powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the powers of the base and of its inverse, from the 0th."""
    known = _all_powers(max(2 * _CHUNK, 1 << length.bit_length()))
    return known[0][:length], known[1][:length]


@functools.cache
def _kinds() -> np.ndarray:
    """Says of each code point: 0 no part of a word, 1 of one, 2 one alone."""
    letters = (
        unicodedata.category(chr(code))[0] in "LMN"
        for code in range(_LAST_LETTER + 1)
    )
    kinds = np.zeros(sys.maxunicode + 1, "uint8")
    kinds[: _LAST_LETTER + 1] = np.fromiter(letters, "uint8")
    for first, last in _UNSPACED:
        kinds[first : last + 1] *= 2
    return kinds


def repeated(values: np.ndarray) -> np.ndarray:
    """Returns the different numbers that stand there twice or more, sorted.

    Example:

    >>> repeated(np.array([3, 1, 3, 2, 1, 3]))
    array([1, 3])
    """
    values = np.sort(values)
    return np.unique(values[1:][values[1:] == values[:-1]])


def is_among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Says of each number whether it is among `known`, sorted numbers.

    Example:

    >>> is_among(np.array([5, 1]), np.array([1, 3]))
    array([False,  True])
    """
    if not len(known):
        return np.zeros(len(values), bool)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[places] == values


def run_starts(values: np.ndarray) -> np.ndarray:
    """Returns where runs of equal numbers begin.

    Example:

    >>> run_starts(np.array([4, 4, 7, 4]))
    array([0, 2, 3])
    """
    new = np.ones(len(values), bool)
    new[1:] = values[1:] != values[:-1]
    return np.flatnonzero(new)
