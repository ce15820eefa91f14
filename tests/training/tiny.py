"""A training small enough to be run dozens of times: synthetic batches and a model of some 7,000 parameters.

Run as a program it serves: a line ``FOLDER key=value ...`` (keys of a Plan) forks a child that trains and leaves the
hash of all that must be the same after a kill in ``FOLDER/fingerprint``. ``die=S`` ends it without a warning after S
seconds of CPU time: a kill that does not depend on how busy the machine is. The server prints the child's pid, and
after an empty line its status and CPU time. One import of torch serves dozens of trainings.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pocketlm import numerics
from pocketlm.config import Architecture, Numerics, Plan
from pocketlm.training.job import TrainJob

VOCAB = 64


class Rows:
    """Batches of a noisy counting language; a pure function of (round, step). Row 0 of each is half masked."""

    def __init__(self, batch_size: int = 4, seq_len: int = 16, mask: bool = True) -> None:
        self.shape, self.mask = (batch_size, seq_len), mask

    def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[Any, ...]:
        generator = np.random.default_rng([round, step])
        size, length = self.shape
        first = generator.integers(0, VOCAB, (size, 1))
        stride = 1 + step % 3
        tokens = (first + stride * np.arange(length + 1)) % VOCAB
        noise = generator.random(tokens.shape) < 0.05
        tokens = np.where(noise, generator.integers(0, VOCAB, tokens.shape), tokens).astype(np.int64)
        inputs, targets = tokens[:, :-1].copy(), tokens[:, 1:].copy()
        if self.mask:
            targets[0, : length // 2] = -100
        return inputs[rows or slice(None)], targets[rows or slice(None)], None, None

    def validation_batches(self, n: int) -> list[Any]:
        return [self.batch(99, step) for step in range(n)]

    def count_bytes(self, targets: Any) -> int:
        return 3 * int((targets != -100).sum())


def arch(**changes: Any) -> Architecture:
    shape = {"n_layers": 2, "d_model": 16, "n_heads": 2, "n_kv_heads": 1, "head_dim": 8, "d_ff": 32, "max_seq_len": 32}
    return Architecture(**{**shape, **changes})


def plan(**changes: Any) -> Plan:
    small = {
        "seq_len": 16, "batch_size": 4, "steps": 30, "warmup": 3, "checkpoint_every": 7, "log_every": 5,
        "validate_every": 10, "validation_batches": 2, "lr": 1e-2,
    }  # fmt: skip
    return Plan(**{**small, **changes})


def job(**changes: Any) -> TrainJob:
    recipe = changes.pop("plan", None) or plan()
    reader = changes.pop("reader", None) or Rows(recipe.batch_size, recipe.seq_len)
    given = {"seed": 1, "numerics": Numerics(), "validation": reader, "label": "tiny"}
    return TrainJob(**{"arch": arch(), "vocab_size": VOCAB, "plan": recipe, "reader": reader, **given, **changes})


def fingerprint(trainer: Any, result: Any) -> str:
    """Hash of weights, optimizer state, metrics and curve: all that a resume must give again."""
    sha = hashlib.sha256()
    for name, tensor in sorted({**result.state, **trainer.optimizer.tensors()}.items()):
        sha.update(name.encode() + tensor.numpy().tobytes())
    sha.update(json.dumps([result.metrics, result.curve], sort_keys=True).encode())
    return sha.hexdigest()


def train(folder: Path, changes: dict[str, Any]) -> None:
    from pocketlm.training import loop
    from pocketlm.training.checkpoint import layout

    how = {name: changes.pop(name) for name in ("world_size", "parallel", "precision") if name in changes}
    shape = {name: changes.pop(name) for name in ("sharing", "tied", "n_layers", "d_ff") if name in changes}
    signal.setitimer(signal.ITIMER_PROF, float(changes.pop("die", 0)))  # SIGPROF's default is to end the process
    name = "tiny-base" + layout(int(how.get("world_size", 1)), str(how.get("parallel", "ddp")))
    given = job(plan=plan(**changes), numerics=Numerics(**how), arch=arch(**shape), checkpoints=folder / name)
    built: list[Any] = []
    make = loop.Trainer.__init__

    def remember(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        built.append(self)

    loop.Trainer.__init__ = remember  # type: ignore[method-assign]
    result = loop.train(given)
    if numerics.rank() == 0:
        (folder / "fingerprint").write_text(fingerprint(built[0], result))
        (folder / "curve.json").write_text(json.dumps(result.curve))


def parse(words: list[str]) -> tuple[Path, dict[str, Any]]:
    return Path(words[0]), {name: json.loads(value) for name, value in (pair.split("=") for pair in words[1:])}


def serve() -> None:
    from pocketlm.training import loop

    print(loop.__name__, flush=True)
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                train(*parse(line.split()))
                code = 0
            finally:
                os._exit(code)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status, usage = os.wait4(pid, 0)
        print(status, usage.ru_utime + usage.ru_stime, flush=True)


if __name__ == "__main__":
    serve() if len(sys.argv) == 1 else train(*parse(sys.argv[1:]))
