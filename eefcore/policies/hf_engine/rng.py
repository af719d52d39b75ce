"""Random numbers of an episode: a function of its seed and of how far it is, never of its neighbours.

The counter is hashed with the seed (splitmix64), so there is no generator to keep, to save or to
share: the n-th number of an episode is the same in any batch and in any order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def random_bits(seed: npt.ArrayLike, counter: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return 64 random bits for each (seed, counter); both are broadcast, and are read modulo 2**64."""
    with np.errstate(over="ignore"):  # wrapping around is what a hash is made of
        return _mix(_mix(_word(seed)) ^ (_word(counter) * _GOLDEN))


def random_uniforms(seed: npt.ArrayLike, counter: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1), each a multiple of 2**-32, so that u·x < x for every float64 x > 0."""
    return (random_bits(seed, counter) >> np.uint64(32)).astype(np.float64) * 2.0**-32


def turn_seed(seed: int, turn: int) -> int:
    """Return a seed in [0, 2**31) for one turn of an episode, for engines that keep their own generator."""
    return int(random_bits(seed, turn)) >> 33


def _word(x: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return `x` modulo 2**64; a Python int may be negative or too long for NumPy to take by itself."""
    return np.asarray(x & 0xFFFFFFFFFFFFFFFF if isinstance(x, int) else x).astype(np.uint64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash each word by one step of splitmix64."""
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
