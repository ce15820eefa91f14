"""What a measurement depends on besides the model: CPU, cores, runtime versions, threads. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketlm import artifacts
from pocketlm.config import ConfigError, Device

PACKAGES = {"torch": ("torch",), "llamacpp": ("llama-cpp-python",)}


def cpu_model(cpuinfo: str | Path = "/proc/cpuinfo") -> str:
    """The name of the CPU: ``model name`` (x86) or implementer and part (Arm) of cpuinfo, else what platform knows."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    found = dict(reversed(pairs))  # the first core's
    if "model name" in found:
        # hypervisors name whole families ("AMD EPYC"): family and model tell generations apart
        numbers = "/".join(found[key] for key in ("cpu family", "model") if key in found)
        return f"{found['model name']} ({numbers})" if numbers else found["model name"]
    arm = [found[key] for key in ("CPU implementer", "CPU part") if key in found]
    return " ".join(["arm", *arm]) if arm else platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def governor(root: str | Path = "/sys/devices/system/cpu") -> str | None:
    """The frequency governor of the first core; None where the system does not tell (virtual machines)."""
    try:
        return (Path(root) / "cpu0/cpufreq/scaling_governor").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def versions(runtime: str) -> dict[str, str]:
    """Versions of a runtime and of the interpreter, whose overhead dominates small models."""
    if runtime not in PACKAGES:
        raise ConfigError(f"devices: runtime={runtime}: unknown; use one of {', '.join(PACKAGES)}")
    found = {"python": platform.python_version()}
    for package in PACKAGES[runtime]:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def identity(device: Device, precision: str = "fp32", runtime: str | None = None) -> dict[str, Any]:
    """Everything that ``device_id`` is a fingerprint of."""
    name = runtime or device.runtime
    return {
        "cpu": cpu_model(),
        "machine": platform.machine(),
        "cores": cores(),
        "runtime": name,
        "versions": versions(name),
        "threads": device.threads,
        "precision": precision,
    }


def fingerprint(parts: dict[str, Any]) -> str:
    """A short id of plain data: a readable head and 10 hex digits of its sha256."""
    return f"{parts['runtime']}-{parts['cores']}c-{parts['threads']}t-{artifacts.digest(parts)[:10]}"


def device_id(device: Device, precision: str = "fp32", runtime: str | None = None) -> str:
    """The id under which facts of this machine, runtime and thread count are comparable."""
    return fingerprint(identity(device, precision, runtime))


def require_local(name: str, device: Device) -> None:
    """Raise ConfigError for a device that this build cannot reach or that has too few cores."""
    if device.kind != "local":
        raise ConfigError(
            f"devices.{name}.kind={device.kind}: this version measures local devices only; use kind: local"
        )
    if device.threads > cores():
        raise ConfigError(
            f"devices.{name}.threads={device.threads}: this machine has {cores()} core(s); lower threads to that"
        )
