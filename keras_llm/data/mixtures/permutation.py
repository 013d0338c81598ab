"""A permutation of any size that is computed, not stored.

NumPy's generators may change their streams between versions; these integers
do not, so that a run resumes on the same rows years later.
"""

import numpy as np

from keras_llm.data.split_mix import GAMMA, split_mix

_ROUNDS = 8


def permuted(
    indices: np.ndarray, sizes: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """Returns where pseudo-random permutations of 0 ... size - 1 take indices.

    A Feistel network over the smallest power of four that holds `size`;
    what falls outside goes through again until it is inside.

    Args:
        indices: int64, (n,), each in 0 ... size - 1.
        sizes: int64, (n,): of how many rows, 1 to 2**52.
        keys: uint64, (n,): which permutation; see `key_of`.

    Returns:
        int64, (n,). Of one size and key each of 0 ... size - 1 comes once.

    Source: Black and Rogaway 2002, Ciphers with arbitrary finite domains.

    Example:

    >>> keys = key_of(7, np.zeros(5, np.int64))
    >>> permuted(np.arange(5), np.full(5, 5), keys).tolist()
    [0, 4, 2, 1, 3]
    """
    bits = np.frexp(sizes - 1)[1]  # of the largest index
    halves = np.maximum((bits + 1) // 2, 2).astype(np.uint64)
    values = _encipher(indices.astype(np.uint64), halves, keys)
    limits = sizes.astype(np.uint64)
    while (out := values >= limits).any():
        values[out] = _encipher(values[out], halves[out], keys[out])
    return values.astype(np.int64)


def key_of(seed: int, *words: int | np.ndarray) -> np.ndarray:
    """Returns uint64 keys, one for each element of the words together.

    Example:

    >>> len(set(key_of(1, 2, np.arange(100)).tolist()))
    100
    """
    key = _scrambled(np.array([seed], np.uint64))
    for word in words:
        at_least_one = np.atleast_1d(word).astype(np.uint64)
        key = _scrambled((key + GAMMA) ^ at_least_one)
    return key


def _encipher(
    values: np.ndarray, halves: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    masks = (np.uint64(1) << halves) - np.uint64(1)
    left, right = values >> halves, values & masks
    for number in range(_ROUNDS):
        secret = keys + GAMMA * np.full(1, number, np.uint64)
        left, right = right, left ^ (_scrambled(right ^ secret) & masks)
    return (left << halves) | right


def _scrambled(values: np.ndarray) -> np.ndarray:
    return split_mix(values, np.zeros(1, np.uint64))
