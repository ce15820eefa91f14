"""What a result may depend on besides parameters and code: versions, instruction set, threads."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketlm.engines import instructions
from pocketlm.engines.closure import ROOT, pins


def installed(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe(numerics: dict[str, Any]) -> dict[str, Any]:
    """Versions, processor, numerics (threads among them) of this machine, and its GPUs if they are used."""
    from pocketlm.profiling.device import cpu_model

    used = {"gpu": gpus()} if numerics["device"] == "cuda" else {}
    return used | {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu_model(),
        "instructions": instructions.effective(),
        "numerics": numerics,
        "libraries": {name: installed(name) for name in sorted(pins())},
    }


def gpus() -> list[str]:
    """The models of the GPUs that torch sees."""
    import torch

    return sorted({torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())})


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """``torch 2.13.0 -> 2.14.0``: a line for each value that differs."""
    lines = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, "" if key == "libraries" else f"{key}.")
        elif old != new:
            lines.append(f"{prefix}{key} {old} -> {new}")
    return lines


def commit() -> dict[str, Any]:
    """{"commit": hash or None, "dirty": whether tracked files differ from it} of the project."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=ROOT, env=quiet, capture_output=True, text=True)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    state = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(state) if state is not None else None}


def same_kind(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether bytes must be equal: same instruction set, GPU, system, numerics and versions; the CPU may differ."""
    keys = ("system", "instructions", "gpu", "numerics", "libraries")
    return all(before.get(key) == now.get(key) for key in keys)


def folder_of_run(path: Path) -> str:
    """A run folder's name as a certificate says it: relative to the project, never a path of the machine."""
    full = path.resolve()
    return full.relative_to(ROOT).as_posix() if full.is_relative_to(ROOT) else full.name
