"""Measures the calibration shapes of a device: the fact that the latency predictor is fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketlm.config import Device
from pocketlm.profiling import device as machine
from pocketlm.profiling import measure, shapes
from pocketlm.profiling.quiet import wait_quiet
from pocketlm.progress import Progress

LIMIT_S = 30.0  # a busy machine gets fewer rounds, not a longer calibration


def calibrate(name: str, entry: Device, precision: str, quiet_s: float) -> dict[str, Any]:
    """The calibration of a local device: identity, and times of every shape at every prompt and depth."""
    machine.require_local(name, entry)
    from pocketlm.profiling import torch_runtime

    torch_runtime.prepare(entry.threads)
    dtype = torch_runtime.dtype_of(precision)
    longest = max(max(entry.prompts), max(entry.depths) + entry.new_tokens)
    roles = {"fit": shapes.fitting(entry.calibration, longest), "validate": shapes.whole(entry.calibration, longest)}
    chosen = [(role, arch, vocab) for role, found in roles.items() for arch, vocab in found]
    tasks: dict[tuple[int, str, int], Callable[[], float]] = {}
    for number, (_, arch, vocab) in enumerate(chosen):
        model = torch_runtime.TorchModel(arch, vocab, dtype)
        found = torch_runtime.tasks_of(model, entry.prompts, entry.depths, entry.new_tokens)
        tasks |= {(number, *key): task for key, task in found.items()}
    quiet = wait_quiet(quiet_s)
    progress = Progress(f"calibrate {name}", entry.repeats, "round")
    samples = measure.interleave(tasks, entry.repeats, progress.update, LIMIT_S)
    progress.close()
    points = [
        {"role": role, "arch": shapes.as_point(arch, vocab), **times(samples, number, entry)}
        for number, (role, arch, vocab) in enumerate(chosen)
    ]
    about = machine.identity(entry, precision)
    return {
        **about,
        "device": name,
        "device_id": machine.fingerprint(about),
        "dtype": str(dtype).removeprefix("torch."),
        "governor": machine.governor(),
        "repeats": len(samples[0, "decode", entry.depths[0]]),
        "new_tokens": entry.new_tokens,
        "quiet": quiet,
        "points": points,
    }


def times(samples: dict[Any, list[float]], number: Any, entry: Device) -> dict[str, Any]:
    """Rows of prefill by prompt and decode by depth of one model."""
    prefill = [
        {"prompt": prompt, **measure.summary(samples[number, "prefill", prompt], prompt)} for prompt in entry.prompts
    ]
    decode = [{"depth": depth, **measure.summary(samples[number, "decode", depth])} for depth in entry.depths]
    return {"prefill": prefill, "decode": decode}
