"""Interleaved repeats and their summary.

All measurements take turns: a slow minute of the machine then touches every model alike, and the median of each stays
comparable with the others'.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)


LEAST_ROUNDS = 3


def interleave(
    tasks: dict[K, Callable[[], float]],
    repeats: int,
    after_round: Callable[[int], None] | None = None,
    limit_s: float = float("inf"),
) -> dict[K, list[float]]:
    """Samples of every task: one unrecorded warm-up each, then ``repeats`` rounds through all of them.

    Every other round goes backwards, so that no task always runs in the shadow of the same neighbour. On a machine so
    slow that ``limit_s`` is over the rounds end early, after at least LEAST_ROUNDS.
    """
    samples: dict[K, list[float]] = {key: [] for key in tasks}
    for task in tasks.values():
        task()
    began = time.monotonic()
    enabled = gc.isenabled()
    gc.disable()
    try:
        for number in range(repeats):
            keys = list(tasks) if number % 2 == 0 else list(reversed(tasks))
            for key in keys:
                samples[key].append(tasks[key]())
            if after_round is not None:
                after_round(number + 1)
            if number + 1 >= LEAST_ROUNDS and time.monotonic() - began > limit_s:
                break
    finally:
        if enabled:
            gc.enable()
    return samples


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile (linear interpolation, as numpy's default)."""
    if len(samples) == 1:
        return samples[0], samples[0], samples[0]
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, middle, high


def significant(value: float, digits: int = 6) -> float:
    """``value`` rounded to significant digits."""
    return float(f"{value:.{digits}g}")


def summary(samples: Sequence[float], tokens: int = 1) -> dict[str, Any]:
    """Milliseconds (median, interquartile range, lower quartile) of samples in seconds, and tokens a second."""
    low, middle, high = quartiles(samples)
    return {
        "ms_median": significant(middle * 1e3),
        "ms_iqr": significant((high - low) * 1e3),
        "ms_q1": significant(low * 1e3),
        "tok_s": significant(tokens / middle),
    }
