"""Differences between two models on the same items, with the standard error of the difference. Pure Python."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

Key = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """``value`` = mean(right - left) over the ``n`` items that both have; ``stderr`` of that mean."""

    task: str
    metric: str
    value: float
    stderr: float
    n: int

    def as_row(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """(mean, its standard error); the error of fewer than two values is 0."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, 0.0
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)


def differences(left: Iterable[dict[str, Any]], right: Iterable[dict[str, Any]]) -> list[Difference]:
    """right - left by task and metric, and over all tasks together (task ``*``), for each metric, paired by item.

    Both are rows ``{"task", "metric", "item", "value"}`` of a samples file, each of one model, phase and scheme.
    """
    first = {(row["task"], row["metric"], row["item"]): float(row["value"]) for row in left}
    groups: dict[Key, list[float]] = {}
    for row in right:
        key = (row["task"], row["metric"], row["item"])
        if key in first:
            change = float(row["value"]) - first[key]
            groups.setdefault((row["task"], row["metric"]), []).append(change)
            groups.setdefault(("*", row["metric"]), []).append(change)
    return [Difference(t, m, *mean_and_error(values), len(values)) for (t, m), values in sorted(groups.items())]


def select(rows: Iterable[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The rows with these values, for example ``phase="call", scheme="int8"``."""
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
