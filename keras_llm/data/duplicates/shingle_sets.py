"""The different n-grams of texts, and how many of them two texts share."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_llm.data.duplicates.hashes import shingles

_DROPPED = np.uint64(16)  # bits of a hash, to make room for a pair's number
_KEPT = np.uint64(48)
_PAIRS = 1 << 16
_TOGETHER = 1 << 20  # n-grams compared at a time


class ShingleSets:
    """The different n-grams of texts, to be compared exactly.

    "Exactly" but for hashes of 48 bits: of two texts of 10,000 words, one in
    a million is said to have an n-gram in common that they have not.

    Args:
        numbers: uint64 `(n-grams,)`: sorted within each text.
        ends: int64 `(texts,)`: where those of each text end.

    Example:

    >>> sets = ShingleSets.of(["a b c d", "a b c e"], words=2)
    >>> jaccard([sets[0]], [sets[1]])
    array([0.5])
    """

    def __init__(self, numbers: np.ndarray, ends: np.ndarray):
        self.numbers, self.ends = numbers, ends

    @classmethod
    def of(cls, texts: Iterable[str], words: int) -> "ShingleSets":
        """Returns the n-grams of texts."""
        sets = [
            np.unique(own)
            for grams, ends in shingles(texts, words)
            for own in np.split(grams >> _DROPPED, ends[:-1])
        ]
        sizes = np.array(list(map(len, sets)), "int64")
        return cls(
            np.concatenate([np.zeros(0, "uint64"), *sets]), np.cumsum(sizes)
        )

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, text: int) -> np.ndarray:
        begin = self.ends[text - 1] if text else 0
        return self.numbers[begin : self.ends[text]]


def jaccard(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> np.ndarray:
    """Returns the Jaccard index of pairs of sets: in both / in either.

    Args:
        first, second: `(pairs,)` sets of `ShingleSets`; not two empty ones.

    Returns:
        float64 `(pairs,)`.

    Example: see `ShingleSets`.
    """
    sizes = np.array([list(map(len, first)), list(map(len, second))], "int64")
    both = [
        _in_both(first[part], second[part])
        for part in _parts(sizes.sum(axis=0))
    ]
    common = np.concatenate([np.zeros(0), *both])
    return common / (sizes.sum(axis=0) - common)


def _parts(sizes: np.ndarray) -> Iterator[slice]:
    """Yields slices of pairs with about `_TOGETHER` n-grams each."""
    begin = 0
    ends = np.cumsum(sizes)
    while begin < len(sizes):
        most = ends[begin] + _TOGETHER
        end = int(np.searchsorted(ends, most, side="right"))
        end = min(end, begin + _PAIRS)
        yield slice(begin, end)
        begin = end


def _in_both(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> np.ndarray:
    """Counts the numbers that both sets of a pair have, by one sort."""
    sets = [*first, *second]
    pairs = np.tile(np.arange(len(first), dtype="uint64"), 2)
    tags = np.repeat(pairs << _KEPT, list(map(len, sets)))
    tags |= np.concatenate(sets)
    tags.sort()
    twice = tags[1:][tags[1:] == tags[:-1]] >> _KEPT
    return np.bincount(twice.astype("int64"), minlength=len(first))
