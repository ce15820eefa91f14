"""Measures whole models on a device: the rows of a profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pocketlm.config import Architecture, Device
from pocketlm.profiling import device as machine
from pocketlm.profiling import measure, memory
from pocketlm.profiling.calibration import times
from pocketlm.profiling.quiet import wait_quiet
from pocketlm.progress import Progress

Models = Mapping[str, tuple[Architecture, int]]  # name -> (architecture, vocabulary)
ENERGY_SECONDS = 0.5


def profile(name: str, entry: Device, models: Models, runtimes: list[str], precision: str) -> dict[str, Any]:
    """Rows of every model on every runtime of a local device, and the runtimes that were left out, with why."""
    machine.require_local(name, entry)
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    quiet: dict[str, Any] = {}
    for runtime in runtimes:
        why = unavailable(runtime)
        if why:
            left_out.append({"runtime": runtime, "why": why})
            continue
        found, quiet = measure_torch(name, entry, models, precision)
        rows += found
    return {"device": name, "quiet": quiet, "rows": rows, "left_out": left_out}


def unavailable(runtime: str) -> str | None:
    """Why a runtime is left out; None where it can measure."""
    if runtime == "llamacpp":
        return "llama.cpp runs the quantized files of trained models; this stage measures shapes before training"
    machine.versions(runtime)  # refuses an unknown one
    return None


def measure_torch(name: str, entry: Device, models: Models, precision: str) -> tuple[list[dict[str, Any]], Any]:
    """One row a model on the torch runtime, all models interleaved; and how quiet the machine was."""
    from pocketlm.profiling import torch_runtime

    torch_runtime.prepare(entry.threads)
    dtype = torch_runtime.dtype_of(precision)
    quiet = wait_quiet(entry.quiet_seconds)
    # memory first, one model at a time, before the others are in memory
    first = {
        model: torch_runtime.load_and_peak(arch, vocab, dtype, max(entry.prompts), entry.repeats)
        for model, (arch, vocab) in models.items()
    }
    built = {model: torch_runtime.TorchModel(arch, vocab, dtype) for model, (arch, vocab) in models.items()}
    tasks = {
        (model, *key): task
        for model, runtime in built.items()
        for key, task in torch_runtime.tasks_of(runtime, entry.prompts, entry.depths, entry.new_tokens).items()
    }
    progress = Progress(f"profile {name}", entry.repeats, "round")
    samples = measure.interleave(tasks, entry.repeats, progress.update)
    progress.close()
    about = machine.identity(entry, precision)
    common = {
        "device": name,
        "device_id": machine.fingerprint(about),
        "runtime": "torch",
        "scheme": "bf16",
        "dtype": str(dtype).removeprefix("torch."),
        "threads": entry.threads,
        "versions": about["versions"],
        "cpu": about["cpu"],
        "governor": machine.governor(),
        "repeats": entry.repeats,
        "quiet": quiet["quiet"],
    }
    rows = []
    for model, (_, vocab) in models.items():
        decode = tasks[model, "decode", entry.depths[-1]]
        rows.append({"model": model, **common, "vocab_size": vocab, **times(samples, model, entry)})
        rows[-1] |= first_numbers(first[model], samples, model, entry) | energy(decode, entry.new_tokens)
    return rows, quiet


def first_numbers(
    found: dict[str, Any], samples: Mapping[Any, list[float]], model: str, entry: Device
) -> dict[str, Any]:
    """Time to first token, load time, memory and file size of one model.

    The time to the first token is the prefill of the shortest prompt: it ends with the choice of that token.
    """
    load = measure.summary(found["load_s"])
    ttft = measure.summary(samples[model, "prefill", min(entry.prompts)])
    return {
        "ttft_ms": ttft["ms_median"],
        "ttft_iqr": ttft["ms_iqr"],
        "ttft_prompt": min(entry.prompts),
        "load_ms": load["ms_median"],
        "load_iqr": load["ms_iqr"],
        "peak_mib": found["peak_mib"],
        "base_mib": found["base_mib"],
        "peak_exact": found["peak_exact"],
        "file_bytes": found["file_bytes"],
    }


def energy(decode: Callable[[], float], tokens: int) -> dict[str, Any]:
    """Joules a token of decoding over at least ENERGY_SECONDS, of all CPU packages; null with the reason else."""
    before, why = memory.energy_joules()
    if before is None:
        return {"joules_per_token": None, "joules_why": why}
    began, count = time.monotonic(), 0
    while time.monotonic() - began < ENERGY_SECONDS:
        decode()
        count += tokens
    after, why = memory.energy_joules()
    if after is None or after < before:
        return {"joules_per_token": None, "joules_why": why or "the energy counter wrapped around while measuring"}
    return {"joules_per_token": measure.significant((after - before) / count), "joules_why": "whole CPU package (RAPL)"}
