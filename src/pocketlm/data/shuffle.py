"""Shuffling without a table: a keyed bijection of [0, n), vectorised, so that any element is reached at once.

A four-round Feistel network on the smallest even number of bits that holds n, with cycle walking (values >= n are
encrypted again). Reference: Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (2002).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ROUNDS = 4
MASK = 0xFFFFFFFFFFFFFFFF


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: 64 well-mixed bits of each value."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def key_of(*parts: int) -> int:
    """One 64-bit key of several integers, order-sensitive. Plain integers: small arrays would cost more."""
    key = 0
    for part in parts:
        key = (key + 0x9E3779B97F4A7C15 + part) & MASK
        key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & MASK
        key ^= key >> 31
    return key


def permute(indices: Ints, n: int, key: int) -> Ints:
    """The images of ``indices`` (each in [0, n)) under the permutation of [0, n) that ``key`` names."""
    half = np.uint64(max(1, ((max(n - 1, 1)).bit_length() + 1) // 2))
    low = np.uint64((1 << int(half)) - 1)
    keys = [np.uint64(key_of(key, i)) for i in range(ROUNDS)]
    out = np.asarray(indices, dtype=np.uint64).copy()
    waiting = np.arange(out.size)
    while waiting.size:
        left, right = out[waiting] >> half, out[waiting] & low
        for k in keys:
            left, right = right, left ^ (mix(right ^ k) & low)
        out[waiting] = (left << half) | right
        waiting = waiting[out[waiting] >= np.uint64(n)]
    return out.astype(np.int64)
