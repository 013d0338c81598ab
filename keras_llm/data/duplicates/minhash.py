"""MinHash: texts alike have equal band keys, however many texts there are."""

from collections.abc import Iterable, Iterator

import numpy as np

from keras_llm.data.duplicates.hashes import mixed, shingles

NOTHING = 0  # the key of a text too short for an n-gram: like no other


class MinHash:
    """Band keys of texts.

    The smallest hash of a text's n-grams is that of another text with a
    probability of their Jaccard index J (n-grams in common / n-grams in
    either). `rows` such hashes make a band's key, so two texts have a key in
    common with a probability of `1 - (1 - J**rows)**bands`.

    Args:
        words: Words of an n-gram.
        bands: Keys of a text.
        rows: Smallest hashes in a key.

    Source: Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900; bands as
    in Leskovec, Rajaraman and Ullman 2020, "Mining of Massive Datasets",
    section 3.4; multiply-add hashes of 32 bits as in Dietzfelbinger 1996.

    Example:

    >>> keys = MinHash(words=2, bands=3, rows=2).keys(["a b c", "A b. C", ""])
    >>> (keys[:, 0] == keys[:, 1]).tolist(), keys[:, 2].tolist()
    ([True, True, True], [0, 0, 0])
    """

    def __init__(self, words: int, bands: int, rows: int):
        self.words, self.bands, self.rows = words, bands, rows
        count = bands * rows
        salt = mixed(np.arange(2 * count + rows, dtype="uint64"))
        high = (salt >> np.uint64(32)).astype("uint32")
        self._factors = high[:count] | np.uint32(1)
        self._terms = high[count : 2 * count]
        self._joins = salt[2 * count :] | np.uint64(1)

    def keys(self, texts: Iterable[str]) -> np.ndarray:
        """Returns the keys of texts, uint64 `(bands, texts)`."""
        none = np.zeros((self.bands, 0), "uint64")
        return np.concatenate([none, *self._parts(texts)], axis=1)

    def _parts(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        for grams, ends in shingles(texts, self.words):
            keys = np.full((self.bands, len(ends)), NOTHING, "uint64")
            begins = np.concatenate([[0], ends[:-1]])
            some = ends > begins
            if some.any():
                keys[:, some] = self._of_grams(grams, begins[some])
            yield keys

    def _of_grams(self, grams: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Returns the keys of texts whose n-grams begin there."""
        short = (grams >> np.uint64(32)).astype("uint32")
        least = np.empty((len(self._factors), len(begins)), "uint64")
        hashes = np.empty_like(short)
        for row, factor, term in zip(
            least, self._factors, self._terms, strict=True
        ):
            np.multiply(short, factor, out=hashes)
            np.add(hashes, term, out=hashes)
            row[:] = np.minimum.reduceat(hashes, begins)
        bands = least.reshape(self.bands, self.rows, -1)
        return mixed((bands * self._joins[:, None]).sum(axis=1))
