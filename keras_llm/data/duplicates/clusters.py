"""Clusters of documents that are alike, each named by its first document."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from keras_llm.data.duplicates.hashes import (
    is_among,
    repeated,
    run_starts,
)
from keras_llm.data.duplicates.minhash import NOTHING

Alike = Callable[[np.ndarray, np.ndarray], np.ndarray]
_FARTHEST = 32


class Bands(Protocol):
    """An array `(bands, documents)`, or what reads one band at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any: ...


class Clusters:
    """A forest of documents by number; joined trees have the least root.

    So what is joined with what in which order does not matter.

    Source: union-find with pointer jumping, Shiloach and Vishkin 1982,
    https://doi.org/10.1016/0196-6774(82)90008-6.

    Example:

    >>> clusters = Clusters(5)
    >>> clusters.join(np.array([4, 2]), np.array([2, 1]))
    >>> clusters.roots(np.arange(5))
    array([0, 1, 1, 3, 1])
    """

    def __init__(self, documents: int):
        self._parents = np.arange(documents)

    def roots(self, documents: np.ndarray) -> np.ndarray:
        """Returns the first document of the cluster of each."""
        roots = self._parents[documents]
        while (above := self._parents[roots]).tobytes() != roots.tobytes():
            roots = above
        self._parents[documents] = roots
        return roots

    def firsts(self) -> np.ndarray:
        """Says of each document whether it is the first of its cluster."""
        documents = np.arange(len(self._parents))
        return self.roots(documents) == documents

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Makes one cluster of the clusters of each pair."""
        while len(first):
            one, other = self.roots(first), self.roots(second)
            apart = one != other
            first, second = first[apart], second[apart]
            low = np.minimum(one, other)[apart]
            high = np.maximum(one, other)[apart]
            np.minimum.at(self._parents, high, low)


def share_a_key(bands: Bands) -> np.ndarray:
    """Says of each document whether another has one of its keys.

    Args:
        bands: uint64 `(documents,)` each: a key of every document.

    Example:

    >>> share_a_key(np.array([[1, 3, 2], [2, 2, 1]], "uint64"))
    array([ True,  True, False])
    """
    shared: Any = False
    for number in range(len(bands)):
        band = bands[number]
        known = repeated(band[band != NOTHING])
        shared = is_among(band, known) | shared
    return shared


def join_by_keys(
    bands: Bands, documents: int, alike: Alike | None = None
) -> Clusters:
    """Joins the documents that have a key in common.

    Of a key that very many documents have which are not all alike, each is
    compared with 32 others only, those that have more keys in common.

    Args:
        bands: uint64 `(documents,)` each, a key of every document.
        documents: How many there are.
        alike: Says of pairs `(first, second)` of documents, int `(pairs,)`
            each, which are to be joined. It is asked only about those that
            are not in one cluster yet. Default: all are.

    Example:

    >>> bands = np.array([[1, 3, 5, 1], [2, 4, 4, 9]], "uint64")
    >>> join_by_keys(bands, 4).roots(np.arange(4))
    array([0, 1, 1, 0])
    """
    clusters = Clusters(documents)
    for number in range(len(bands)):
        _join_band(clusters, bands, number, alike)
    return clusters


def _join_band(
    clusters: Clusters, bands: Bands, number: int, alike: Alike | None
) -> None:
    """Joins documents of equal keys: neighbours first, then those two places
    apart, and so on; a bucket that is one cluster is done.
    """
    keys = bands[number]
    order = np.flatnonzero(is_among(keys, repeated(keys[keys != NOTHING])))
    # Who has the next keys in common, too, becomes a neighbour.
    further = [bands[(number + at) % len(bands)][order] for at in (2, 1)]
    order = order[np.lexsort((*further, keys[order]))]
    for distance in range(1, _FARTHEST + 1):
        order = _in_open_buckets(clusters, order, keys)
        buckets = keys[order]
        near = np.flatnonzero(buckets[distance:] == buckets[:-distance])
        if not len(near):
            return
        first, second = order[near], order[near + distance]
        apart = clusters.roots(first) != clusters.roots(second)
        first, second = first[apart], second[apart]
        if alike is not None:
            yes = alike(first, second)
            first, second = first[yes], second[yes]
        clusters.join(first, second)


def _in_open_buckets(
    clusters: Clusters, order: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """Leaves out the buckets whose documents are in one cluster."""
    if not len(order):
        return order
    roots, starts = clusters.roots(order), run_starts(keys[order])
    low = np.minimum.reduceat(roots, starts)
    high = np.maximum.reduceat(roots, starts)
    sizes = np.diff(starts, append=len(order))
    return order[np.repeat(low != high, sizes)]
