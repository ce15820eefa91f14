"""Rehearses trainings: some real steps on made-up tokens, to know what the whole will cost on this machine.

``python -m pocketlm.rehearse STARTED`` reads one JSON list of trainings from stdin and prints one JSON line
for each, in their order. It runs in a process of its own: peak memory and the time of imports are those of a training's
process. The trainings go from the smallest to the largest, since a process's peak never falls.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketlm import numerics  # before torch
from pocketlm.config import Architecture, Numerics, Plan

SECONDS = 1.0  # of steps that are timed
FEWEST, MOST = 3, 50
IMPORTED = ("cli", "stages.pretrain", "data.reader", "training.loop", "model.folder")  # as a training's process does


class MadeUp:
    """Batches of made-up tokens; rows of several documents where the corpus is one of dialogues."""

    def __init__(self, vocab_size: int, plan: Plan, chat: bool) -> None:
        import numpy as np

        shape = (plan.batch_size, plan.seq_len)
        self.inputs = np.random.default_rng(0).integers(0, vocab_size, shape)
        documents = np.repeat(np.arange(4), -(-plan.seq_len // 4))[: plan.seq_len]
        self.documents = np.broadcast_to(documents, shape).copy() if chat else None

    def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[Any, ...]:
        return self.inputs, self.inputs, self.documents

    def validation_batches(self, n: int) -> Iterator[tuple[Any, ...]]:
        return iter([self.batch(0, 0)] * n)

    def count_bytes(self, targets: Any) -> int:
        return int(targets.size)


def rehearse(arch: Architecture, vocab_size: int, plan: Plan, chat: bool, kind: Numerics) -> dict[str, float]:
    """Seconds of the first step, a step, a validation, a checkpoint and the end; peak memory in MiB."""
    from pocketlm.training.job import TrainJob
    from pocketlm.training.loop import Trainer

    short = replace(plan, steps=10_000, rounds=1, validate_every=0, log_every=10_000, checkpoint_every=10_000)
    reader = MadeUp(vocab_size, plan, chat)
    with tempfile.TemporaryDirectory() as scratch:
        given = TrainJob(
            arch, vocab_size, short, reader, 0, kind, reader, checkpoints=Path(scratch) / "rehearsal", label="rehearsal"
        )
        began = time.perf_counter()
        trainer = Trainer(given, numerics.apply(kind))
        trainer.step()
        wait(trainer)
        found = {"first": time.perf_counter() - began}
        found["step"] = timed_steps(trainer)
        found["validation"] = seconds(trainer.validate)
        found["checkpoint"] = seconds(trainer.save)
        found["end"] = seconds(lambda: finish(trainer, Path(scratch) / "model"))
        found["memory_mib"] = peak_mib(trainer)
    return found


def wait(trainer: Any) -> None:
    """Let the device finish."""
    if trainer.runtime.device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def seconds(function: Any) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def timed_steps(trainer: Any) -> float:
    """The mean seconds of a step: all of them count, slow ones too, as in the training."""
    began, done = time.perf_counter(), 0
    while done < FEWEST or (done < MOST and time.perf_counter() - began < SECONDS):
        trainer.step()
        done += 1
    wait(trainer)
    return (time.perf_counter() - began) / done


def finish(trainer: Any, folder: Path) -> None:
    """Write the model folder."""
    from pocketlm.model.folder import save_model

    state = {name: tensor.detach().float().cpu() for name, tensor in trainer.model.state_dict().items()}
    save_model(state, trainer.job.arch, trainer.job.vocab_size, None, folder, "base")


def peak_mib(trainer: Any) -> float:
    """Peak memory of the process, or of the GPU where that is what runs short."""
    import torch

    from pocketlm.training.metrics import peak_memory_mib

    if trainer.runtime.device.type == "cuda":
        return torch.cuda.max_memory_allocated(trainer.runtime.device) / 2**20
    return peak_memory_mib()


def main() -> None:
    """Rehearse what stdin lists."""
    started, works = float(sys.argv[1]), json.load(sys.stdin)
    for name in IMPORTED:
        importlib.import_module(f"pocketlm.{name}")
    ready, cold = time.time() - started, 0.0
    for work in works:
        arch, plan, kind = Architecture(**work["arch"]), Plan(**work["plan"]), Numerics(**work["numerics"])
        found = rehearse(arch, work["vocab_size"], plan, work["chat"], kind)
        # only this process's first step was cold, in a training each one's is
        cold, found["first"] = cold or max(0.0, found["first"] - found["step"]), found["first"] + cold
        print(json.dumps(found | {"start": ready}), flush=True)


if __name__ == "__main__":
    main()
