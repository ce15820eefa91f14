"""Trainings as the rules start them, by torchrun: on one node, and on two of which each has an agent of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import phases
import pytest

from pocketlm import compose
from pocketlm.artifacts import members
from pocketlm.engines import launch

STAGE = ["pretrain", "--entry", "m", "--tokens", "results/tokens/base.manifest.json"]
STAGE += ["--tokenizer", "results/tokenizers/t.manifest.json", "--out", "results/models/m/base"]
STAGE += [f"--{name}=results/models/m/base.{name}.{end}" for name, end in (("metrics", "json"), ("curve", "csv"))]
STAGE += ["--manifest", "results/models/m/base.manifest.json"]
SHAPE = {**phases.SHAPE, "max_seq_len": 128}  # the tiny recipe's tuning reads 128 tokens
TINY = {"steps": 30, "seq_len": 16, "batch_size": 4, "log_every": 5, "validate_every": 10, "checkpoint_every": 10}


@pytest.fixture
def run_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder of the tiny recipe with a smaller model ``m``, for two ranks."""
    phases.prepare(tmp_path)
    shape = [f"models.mobilellm.architecture.{name}={value}" for name, value in SHAPE.items()]
    plan = [f"plans.pretrain.{name}={value}" for name, value in TINY.items()]
    numerics = ["numerics.world_size=2", f"numerics.parallel={request.param}"]
    text, _ = compose.compose("tiny", [*shape, *plan, *numerics])
    (tmp_path / "params.yaml").write_text(text.replace("mobilellm", "m"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*commands: list[str]) -> dict[str, str]:
    """Start these commands side by side; hashes of what they made."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for words in commands]
    said = [process.communicate(timeout=500)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0] * len(commands), "\n".join(said)
    return members("results/models")


@pytest.mark.parametrize("run_folder", ["ddp", pytest.param("fsdp", marks=pytest.mark.full)], indirect=True)
def test_two_nodes_give_the_bytes_of_one(run_folder: Path) -> None:
    """The words that srun would start on each node, with the port that they would meet at; both nodes are here."""
    one_node = launch.command(2, [], None, STAGE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        job = str(free.getsockname()[1] % 10000)
    words = launch.command(2, ["n1", "n2"], job, STAGE)
    agent = words[words.index("torchrun") :]
    assert agent[1:3] == ["--nnodes=2", "--nproc-per-node=1"]
    on_one = train(one_node)
    assert len(on_one) > 4 and not list(Path("results/checkpoints").iterdir())
    assert train(agent, agent) == on_one
