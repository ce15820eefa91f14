"""Resident memory of this process, and energy counters of the machine."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def _status_mib(key: str) -> float | None:
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    kib = next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)
    return None if kib is None else round(kib / 1024, 1)


def release() -> None:
    """Give freed memory back to the system where the C library can, so that the next peak is the model's own."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)


def reset_peak() -> bool:
    """Start the peak anew (Linux); False where the system does not allow it: the peak is then the process's own."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def resident_mib() -> float | None:
    """MiB that this process holds now; None where the system does not tell."""
    return _status_mib("VmRSS")


def peak_mib() -> float:
    """The most MiB that this process held since ``reset_peak``, or since its start."""
    peak = _status_mib("VmHWM")
    if peak is not None:
        return peak
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)


def energy_joules(root: str | Path = "/sys/class/powercap") -> tuple[float | None, str]:
    """(joules since some start over all CPU packages, "") from RAPL, or (None, why there is none)."""
    zones = sorted(Path(root).glob("intel-rapl:[0-9]*/energy_uj"))
    zones = [zone for zone in zones if zone.parent.name.count(":") == 1]
    if not zones:
        return None, "this machine shows no RAPL energy counter (/sys/class/powercap)"
    try:
        return sum(int(zone.read_text(encoding="utf-8")) for zone in zones) * 1e-6, ""
    except OSError:
        return None, "the RAPL energy counter (/sys/class/powercap) is not readable by this user"
