"""Rank agreement of two lists, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; ties share the mean of their ranks."""
    return [sum(o < v for o in values) + (sum(o == v for o in values) + 1) / 2 for v in values]


def spearman(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Spearman's rho: Pearson's correlation of the ranks; None for fewer than two pairs or a constant list."""
    a, b = ranks(xs), ranks(ys)
    mean = (len(a) + 1) / 2
    va, vb = (sum((r - mean) ** 2 for r in side) for side in (a, b))
    if len(a) < 2 or not va or not vb:
        return None
    return sum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True)) / math.sqrt(va * vb)


def kendall(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Kendall's tau-b, which corrects for ties; None for fewer than two pairs or a constant list."""

    def sign(difference: float) -> int:
        return (difference > 0) - (difference < 0)

    pairs = [(sign(xs[i] - xs[j]), sign(ys[i] - ys[j])) for i in range(len(xs)) for j in range(i)]
    untied = math.sqrt(sum(a != 0 for a, _ in pairs) * sum(b != 0 for _, b in pairs))
    return sum(a * b for a, b in pairs) / untied if untied else None


def agreement(xs: Sequence[float], ys: Sequence[float]) -> dict[str, float | int | None]:
    """Both, rounded, with the number of pairs."""
    if len(xs) != len(ys):
        raise ValueError(f"rank agreement: {len(xs)} values against {len(ys)}: give pairs")
    found = {"kendall": kendall(xs, ys), "spearman": spearman(xs, ys)}
    return {"n": len(xs)} | {name: None if value is None else round(value, 6) for name, value in found.items()}
