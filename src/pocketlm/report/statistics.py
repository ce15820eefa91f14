"""The few statistics of the report; plain Python, so that the page is made in a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Estimate:
    """A mean with its standard error over n items (or tasks)."""

    value: float
    stderr: float
    n: int


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def combine(parts: Sequence[tuple[float, float]]) -> Estimate:
    """Unweighted mean of independent (value, stderr) pairs."""
    k = len(parts)
    return Estimate(mean([v for v, _ in parts]), math.sqrt(sum(s * s for _, s in parts)) / k, k)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other beats in both coordinates (higher is better), by the first coordinate."""
    order = sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1]))
    best, front = -math.inf, []
    for i in order:
        if points[i][1] > best:
            best = points[i][1]
            front.append(i)
    return front[::-1]
