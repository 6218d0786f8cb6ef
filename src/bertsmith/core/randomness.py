"""Randomness that depends on where we are and on nothing else.

A draw is a function of the recipe's seed and of a place: (epoch, index of the example), (step, rank). No generator is carried along, so nothing about
it has to be saved, the number of workers cannot change a draw, and a resumed run sees what the uninterrupted one would have seen.
"""

import hashlib

import numpy as np


def seed_at(seed: int, *place: int | str) -> int:
    """A 63-bit seed for one place of a run.

    Example:
        >>> seed_at(1, "mask", 0, 7) == seed_at(1, "mask", 0, 7)
        True
        >>> seed_at(1, "mask", 0, 7) == seed_at(1, "mask", 1, 7)
        False
    """
    text = "\x1f".join(str(part) for part in (seed, *place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator_at(seed: int, *place: int | str) -> np.random.Generator:
    """A numpy generator for one place of a run; see `seed_at`."""
    return np.random.default_rng(seed_at(seed, *place))
