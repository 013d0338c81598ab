"""SplitMix64: random integers that no new version of a library changes."""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def split_mix(state: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Returns what SplitMix64 gives from a state on, at steps from 0.

    Args:
        state: uint64, any shape.
        steps: Integers, broadcast with the state.

    Returns:
        uint64; equal arguments give equal numbers, for good.

    Source: Steele, Lea and Flood 2014, Fast splittable pseudorandom number
    generators; https://prng.di.unimi.it/splitmix64.c.

    Example:

    >>> split_mix(np.array([1234567], np.uint64), np.arange(2)).tolist()
    [6457827717110365317, 3203168211198807973]
    """
    mixed = state + GAMMA * (steps.astype(np.uint64) + np.uint64(1))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FACTORS[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _FACTORS[1]
    return mixed ^ (mixed >> np.uint64(31))
