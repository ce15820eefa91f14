"""A training small enough to be run dozens of times: synthetic batches and a model of some 7,000 parameters.

Run as a program it serves: a line ``FOLDER key=value ...`` (keys of a Plan) forks a child that trains and leaves the
hash of all that must be the same after a kill in ``FOLDER/fingerprint``, and what it said in ``FOLDER/said``. ``die=S``
ends it without a warning after S seconds of CPU time: a kill that does not depend on how busy the machine is. The
server prints the child's pid, and after an empty line its status and CPU time. One import of torch serves dozens of
trainings. With ``world_size`` the child forks its ranks, of which ``die`` ends the first and ``broken=N`` lets the
second fail at batch N; upper-case keys are environment variables.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pocketlm import numerics
from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture, Numerics, Plan
from pocketlm.training.job import TrainJob

VOCAB = 64


class Broken(ArtifactError):
    """What a rank cannot read."""


class Rows:
    """Batches of a noisy counting language; a pure function of (round, step). Row 0 of each is half masked."""

    def __init__(self, batch_size: int = 4, seq_len: int = 16, mask: bool = True) -> None:
        self.shape, self.mask, self.broken = (batch_size, seq_len), mask, -1

    def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[Any, ...]:
        if step == self.broken:
            raise Broken(f"rank 1 cannot read batch {step}")
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
    die = float(changes.pop("die", 0))
    if numerics.rank() == 0:
        signal.setitimer(signal.ITIMER_PROF, die)  # SIGPROF's default is to end the process
    broken = int(changes.pop("broken", -1))
    name = "tiny-base" + layout(int(how.get("world_size", 1)), str(how.get("parallel", "ddp")))
    given = job(plan=plan(**changes), numerics=Numerics(**how), arch=arch(**shape), checkpoints=folder / name)
    if numerics.rank() == 1:
        given.reader.broken = broken  # type: ignore[attr-defined]
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


class Server:
    """Forks trainings from one process that has imported torch (``serve``)."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.ask(None)

    def ask(self, line: str | None) -> str:
        assert self.process.stdin and self.process.stdout
        if line is not None:
            self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def train(self, folder: Path, stop_at: int | None = None, **plan: Any) -> tuple[int, float]:
        """(wait status, CPU seconds) of a training; it gets SIGTERM once it has trained ``stop_at`` steps or more."""
        pid = int(self.ask(" ".join([str(folder), *(f"{name}={json.dumps(value)}" for name, value in plan.items())])))
        if stop_at is not None:
            while not (folder / "tiny-base" / f"step-{stop_at:09d}.sha256").exists():
                time.sleep(0.01)
            os.kill(pid, signal.SIGTERM)
        status, seconds = self.ask("").split()
        return int(status), float(seconds)


def start(words: list[str]) -> int:
    """Train as ``words`` say, with as many ranks; the exit status."""
    folder, changes = parse(words)
    os.environ.update({name: str(changes.pop(name)) for name in list(changes) if name.isupper()})
    world = int(changes.get("world_size", 1))
    if world == 1 or "RANK" in os.environ:
        return guarded(folder, changes)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)})
    ranks = []
    for rank in range(world):
        ranks.append(os.fork())
        if ranks[-1] == 0:
            os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank)})
            os._exit(guarded(folder, changes))
    return max(os.waitpid(rank, 0)[1] != 0 for rank in ranks)


def guarded(folder: Path, changes: dict[str, Any]) -> int:
    """As the command line does it: an error is one line."""
    try:
        train(folder, changes)
    except ArtifactError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def serve() -> None:
    from pocketlm.training import checkpoint_folder, loop, sharded

    print(loop.__name__, sharded.__name__, checkpoint_folder.__name__, flush=True)
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                said = os.open(Path(line.split()[0]) / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(said, 2)
                code = start(line.split())
            finally:
                os._exit(code)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status, usage = os.wait4(pid, 0)
        print(status, usage.ru_utime + usage.ru_stime, flush=True)


if __name__ == "__main__":
    serve() if len(sys.argv) == 1 else sys.exit(start(sys.argv[1:]))
