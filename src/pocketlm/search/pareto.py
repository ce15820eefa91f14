"""Pareto fronts, all criteria minimised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def front_mask(first: Any, second: Any) -> NDArray[np.bool_]:
    """Which points no other point dominates, [n]; equal points all stay; O(n log n)."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    order = np.lexsort((b, a))
    sa, sb = a[order], b[order]
    best = np.minimum.accumulate(sb)
    # the best of all points with a smaller first criterion: of the entry before this group of equals
    start = np.searchsorted(sa, sa, side="left")
    before = np.where(start > 0, best[np.maximum(start - 1, 0)], np.inf)
    lowest = sb[start]  # within the group the second criterion is sorted
    mask = np.zeros(len(a), dtype=bool)
    mask[order] = (sb < before) & (sb == lowest)
    return mask


def layers(first: Sequence[float], second: Sequence[float]) -> list[int]:
    """For each point the number of its front: 0 is the Pareto front, 1 the front without those of 0, and so on."""
    left = np.arange(len(first))
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    number = np.zeros(len(first), dtype=np.int64)
    level = 0
    while len(left):
        mask = front_mask(a[left], b[left])
        number[left[mask]] = level
        left, level = left[~mask], level + 1
    return [int(n) for n in number]


def knee(first: Sequence[float], second: Sequence[float]) -> int:
    """Index of the point farthest below the line between the two ends of the front, both axes scaled to 0..1.

    With fewer than three points, or a straight front, the one nearest to the ideal corner.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)

    def unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
        span = float(values.max() - values.min())
        return (values - values.min()) / span if span else np.zeros_like(values)

    total = unit(a) + unit(b)  # the ends have 1; the farther below, the smaller
    return int(np.lexsort((a, np.round(total, 12)))[0])
