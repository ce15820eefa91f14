"""Waiting for a quiet machine: a measurement beside other jobs measures those jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WINDOW_S = 0.25
BUSY_CORES = 0.25  # less than this many busy cores is quiet
CALM_WINDOWS = 2


def busy_ticks(stat: str | Path = "/proc/stat") -> tuple[float, int] | None:
    """(ticks that all cores were busy since boot, number of cores); None where the system does not tell."""
    try:
        lines = Path(stat).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    fields = [float(value) for value in lines[0].split()[1:]]
    idle = fields[3] + (fields[4] if len(fields) > 4 else 0.0)  # idle, iowait
    return sum(fields[:8]) - idle, sum(line.startswith("cpu") and line[3].isdigit() for line in lines)


def busy_cores(seconds: float = WINDOW_S) -> float | None:
    """Cores that were busy during a window in which this process sleeps."""
    import os

    before = busy_ticks()
    began = time.monotonic()
    time.sleep(seconds)
    after = busy_ticks()
    if before is None or after is None:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return (after[0] - before[0]) / ticks / (time.monotonic() - began)


def wait_quiet(
    limit_s: float, probe: Callable[[], float | None] = busy_cores, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Wait until the machine was quiet for two windows in a row, at most ``limit_s``.

    Returns {"quiet": bool or None where unknown, "waited_s", "busy_cores"}; goes on either way, since a shared machine
    may never be quiet, but the artefact then says so.
    """
    began, calm = clock(), 0
    while True:
        busy = probe()
        waited = round(clock() - began, 1)
        if busy is None:
            return {"quiet": None, "waited_s": waited, "busy_cores": None}
        calm = calm + 1 if busy < BUSY_CORES else 0
        if calm >= CALM_WINDOWS or waited >= limit_s:
            return {"quiet": calm >= CALM_WINDOWS, "waited_s": waited, "busy_cores": round(busy, 2)}
