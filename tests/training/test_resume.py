"""Killed at any instant and started again, a training ends in the same bytes."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from pocketlm import numerics
from pocketlm.artifacts import ArtifactError
from pocketlm.numerics import Runtime
from pocketlm.training import checkpoint, loop
from pocketlm.training.checkpoint import Checkpoints
from pocketlm.training.parallel import Alone


def test_killed_at_random_instants(server: tiny.Server, tmp_path: Path) -> None:
    """At least 6 kills, across the borders of three rounds; weights, optimizer, metrics and curve bit-identical."""
    recipe = {"steps": 60, "rounds": 3, "checkpoint_every": 3}
    whole = tmp_path / "whole"
    whole.mkdir()
    status, seconds = server.train(whole, **recipe)
    assert status == 0
    killed, instants = 0, random.Random(5)
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        for _ in range(60):
            status, _ = server.train(folder, die=instants.uniform(0.1, 0.35) * seconds, **recipe)
            killed += status == signal.SIGPROF
            if status == 0:
                break
        assert (folder / "fingerprint").read_text() == (whole / "fingerprint").read_text()
    assert killed >= 6


@pytest.mark.parametrize("border", [30, 31, 45])
def test_stop_at_a_round_border(border: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C right at, after and before the end of rounds (30, 45 and 60 steps are done)."""
    recipe = {"steps": 30, "rounds": 3, "checkpoint_every": 1000, "optimizer": "adamw"}
    whole = loop.train(tiny.job(plan=tiny.plan(**recipe)))
    interrupted = tiny.job(plan=tiny.plan(**recipe), checkpoints=tmp_path / "tiny-base")
    after = loop.Trainer.after_step

    def interrupt(self: loop.Trainer) -> None:
        after(self)
        if self.done == border:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "after_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.train(interrupted)
    monkeypatch.setattr(loop.Trainer, "after_step", after)
    resumed = loop.train(interrupted)
    assert resumed.metrics == whole.metrics and resumed.curve == whole.curve
    assert all(torch.equal(resumed.state[name], whole.state[name]) for name in whole.state)


def test_sigterm_writes_a_checkpoint(server: tiny.Server, tmp_path: Path) -> None:
    server.train(tmp_path, stop_at=50, steps=5000, checkpoint_every=50)
    newest = Checkpoints(tmp_path / "tiny-base").load()
    assert newest is not None and 50 <= newest["done"] < 5000
    assert not (tmp_path / "fingerprint").exists()


def test_two_ranks_give_the_curve_of_one(tmp_path: Path) -> None:
    """gloo on one core, micro-batches of unequal masks; started as torchrun starts them."""
    plan = ["steps=12", "micro_batch=1", "world_size=2", 'optimizer="adamw"']
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(Path(tiny.__file__)), str(tmp_path), *plan],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    alone = loop.train(tiny.job(plan=tiny.plan(steps=12, micro_batch=1, optimizer="adamw")))
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    together = json.loads((tmp_path / "curve.json").read_text())
    for a, b in zip(together, alone.curve, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


def interrupted_job(folder: Path) -> tuple[Any, loop.TrainResult]:
    """A job with checkpoints of steps 7, 14, 21 and 28 (two kept), and its undisturbed result."""
    job = tiny.job(checkpoints=folder / "tiny-base")
    return job, loop.train(job)


SIDECARS = {"checksum truncated": b"0123", "checksum empty": b"", "checksum is garbage": b"\xff\xfe\x00" * 9}


@pytest.mark.parametrize("damage", ["flip", "truncate", "no checksum", *SIDECARS])
def test_damaged_newest_checkpoint(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, whole = interrupted_job(tmp_path)
    newest, previous = Checkpoints(job.checkpoints).files()
    assert (newest.name, previous.name) == ("step-000000028.pt", "step-000000021.pt")
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "no checksum":
        newest.with_suffix(".sha256").unlink()
    elif damage in SIDECARS:
        newest.with_suffix(".sha256").write_bytes(SIDECARS[damage])
    else:
        newest.write_bytes(data if damage == "flip" else data[:-100])
    resumed = loop.train(job)
    said = capsys.readouterr().err
    assert f"{newest} is damaged" in said and "going on from the checkpoint of step 21" in said
    assert all(torch.equal(resumed.state[name], whole.state[name]) for name in whole.state)


def test_all_checkpoints_damaged_starts_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, whole = interrupted_job(tmp_path)
    for path in Checkpoints(job.checkpoints).files():
        path.write_bytes(b"")
    resumed = loop.train(job)
    first, second = [line for line in capsys.readouterr().err.splitlines() if "is damaged" in line]
    assert first.endswith("; going on from the one before it")
    assert second.endswith("; there is none before it: beginning anew")
    assert all(torch.equal(resumed.state[name], whole.state[name]) for name in whole.state)


def test_disk_full_keeps_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 2nd checkpoint does not fit: a clear message, no half file, and the first is used by the next start."""

    class Full(io.BufferedWriter):
        def write(self, data: Any) -> int:
            if self.tell() > 4096:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    job = tiny.job(checkpoints=tmp_path / "tiny-base")
    real = Path.open

    def open_full(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        return Full(io.FileIO(self, "w")) if mode == "wb" and "14" in self.name else real(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(ArtifactError, match="step-000000014.pt: no space left on the disk"):
        loop.train(job)
    monkeypatch.undo()
    assert sorted(p.name for p in job.checkpoints.iterdir()) == ["step-000000007.pt", "step-000000007.sha256"]
    resumed, whole = loop.train(job), loop.train(tiny.job())
    assert all(torch.equal(resumed.state[name], whole.state[name]) for name in whole.state)


def test_leftovers_of_a_killed_writer_and_removal(tmp_path: Path) -> None:
    mine, old = tmp_path / f"base-a0-{'0' * 16}", tmp_path / f"base-a0-{'1' * 16}"
    other = tmp_path / f"base-a0-x-{'1' * 16}"
    for folder in (mine, old, other):
        folder.mkdir()
    (mine / ".step-000000007.pt.123.partial").write_text("half")
    kept = Checkpoints(mine)
    kept.save(8, {"done": 8})
    assert [p.name for p in sorted(mine.iterdir())] == ["step-000000008.pt", "step-000000008.sha256"]
    kept.remove()
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name]


def test_leftovers_go_before_shards_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is nearly full the new one needs the room of what a killed writer left of another step."""
    from pocketlm.training import checkpoint_folder

    class Shards(Alone):
        sharded = True

    (tmp_path / ".step-000000007.partial").mkdir()
    there: list[Path] = []
    monkeypatch.setattr(checkpoint_folder, "save", lambda *_: there.extend(tmp_path.iterdir()))
    Checkpoints(tmp_path, parallel=Shards(Runtime(torch.device("cpu"), False, False))).save(8, {"done": 8})
    assert there == []


def test_key_sees_the_code_that_sets_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(checkpoint, "_meaning", lambda source: seen.append(source) or "")
    checkpoint.key({})
    assert Path(numerics.__file__).read_text(encoding="utf-8") in seen


def test_key_sees_inputs_and_code_but_not_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint.key({"seed": 1}) != checkpoint.key({"seed": 2})
    assert checkpoint.key({"seed": 1}) == checkpoint.key({"seed": 1})
    plain, edited = "def f(x):\n    return x + 1\n", "def f(x):\n    return x + 2\n"
    dressed = '"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return x + 1  # why\n'
    assert checkpoint._meaning(plain) == checkpoint._meaning(dressed) != checkpoint._meaning(edited)
