"""Where n-grams of a few texts stand in very many: hashed, then compared.

A hash of every n-gram is looked up in a small table of bits, which nearly
all of them fail; the few that are left are compared number by number. So a
search costs little more than reading, and what is found is certain.
"""

import numpy as np

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying loses nothing
_BITS = 22  # of the table: 4 MiB
_SHIFT = np.uint64(64 - _BITS)


class NgramIndex:
    """The n-grams of a text, to be found in others.

    Args:
        ids: int `(numbers,)`: words or tokens by number, one text after the
            other.
        places: int `(n-grams,)`: where in `ids` the n-grams begin.
        size: n, at least 2.

    Attributes:
        places: Where in `ids` each different n-gram stands first.
        groups: int `(n-grams,)`: which of these each given place has.

    Source: polynomial hashes, Karp and Rabin 1987.

    Example:

    >>> index = NgramIndex(np.array([5, 6, 7, 5, 6]), np.arange(4), size=2)
    >>> where, which = index.find(np.array([0, 5, 6, 7]))
    >>> where.tolist(), index.places[which].tolist()
    ([1, 2], [0, 1])
    """

    def __init__(self, ids: np.ndarray, places: np.ndarray, size: int):
        self.size = size
        self._ids = np.asarray(ids, "int64")
        hashes = ngram_hashes(self._ids, size)[places]
        self._keys, first, self.groups = np.unique(
            hashes, return_index=True, return_inverse=True
        )
        self.places = np.asarray(places)[first]
        self._table = np.zeros(1 << _BITS, bool)
        self._table[self._keys >> _SHIFT] = True

    def find(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where n-grams of the index begin in `ids`, and which.

        Args:
            ids: int `(numbers,)`.

        Returns:
            int `(found,)` in ascending order, and their numbers in `places`.
        """
        hashes = ngram_hashes(ids, self.size)
        where = np.flatnonzero(self._table[hashes >> _SHIFT])
        found = np.searchsorted(self._keys, hashes[where])
        found = np.minimum(found, max(0, len(self._keys) - 1))
        if not len(self._keys):
            return where[:0], found[:0]
        equal = self._keys[found] == hashes[where]
        where, found = where[equal], found[equal]
        steps = np.arange(self.size)
        theirs = np.asarray(ids)[where[:, None] + steps]
        ours = self._ids[self.places[found][:, None] + steps]
        same = (theirs == ours).all(axis=1)
        return where[same], found[same]


def ngram_hashes(ids: np.ndarray, size: int) -> np.ndarray:
    """Returns a hash of each n-gram, uint64 `(numbers - size + 1,)`.

    That of `a + b` is made from those of `a` and of `b`, so that `size`
    numbers take about `log2(size)` steps.

    Example:

    >>> hashes = ngram_hashes(np.array([1, 2, 3, 1, 2, 3]), 3)
    >>> len(hashes), bool(hashes[0] == hashes[3])
    (4, True)
    """
    if len(ids) < size:
        return np.zeros(0, "uint64")
    if size == 1:
        return np.asarray(ids).astype("uint64") * _BASE
    left = ngram_hashes(ids, (size + 1) // 2)
    right = left if size % 2 == 0 else ngram_hashes(ids, size // 2)
    count, shift = len(ids) - size + 1, (size + 1) // 2
    factor = np.uint64(pow(int(_BASE), size // 2, 1 << 64))
    return left[:count] * factor + right[shift : shift + count]
