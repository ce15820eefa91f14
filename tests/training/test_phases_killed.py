"""SIGKILL at random instants in each phase, across borders of rounds and epochs: the bytes stay the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import phases
import pytest

from pocketlm.artifacts import members

PHASES = ("base", "instruct", "call")


class Stages:
    """Asks ``phases.serve``."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(phases.__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.answer()

    def answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        return self.answer()

    def run(self, folder: Path, phase: str, kill_after: float | None = None) -> tuple[int, float]:
        """(wait status, CPU seconds) of a stage; SIGKILL comes after ``kill_after`` s of its CPU time."""
        pid = int(self.ask(f"{folder} {phase}"))
        while kill_after is not None:
            used, state = cpu_of(pid)
            if used >= kill_after or state == "Z":
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        status, seconds = self.ask("").split()
        return int(status), float(seconds)


def cpu_of(pid: int) -> tuple[float, str]:
    """(CPU seconds so far, state) of a process."""
    nanoseconds = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return nanoseconds / 1e9, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    one = Stages()
    yield one
    one.process.kill()
    one.process.wait()


@pytest.fixture(scope="module")
def whole(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """An undisturbed run, and the CPU seconds of each of its phases."""
    folder = tmp_path_factory.mktemp("whole")
    phases.prepare(folder)
    seconds = {}
    for phase in PHASES:
        status, seconds[phase] = stages.run(folder, phase)
        assert status == 0, (folder / f"{phase}.said").read_text()
    return folder, seconds


def made(folder: Path) -> dict[str, str]:
    """Hashes of the optimizer's state after each phase, and of every file of the models: weights, metrics, curves."""
    optimizers = {phase: (folder / f"{phase}.optimizer").read_text() for phase in PHASES}
    return members(folder / "results/models") | optimizers


@pytest.mark.parametrize(
    ("seed", "wanted"),
    [
        pytest.param(1, {"base": 3, "instruct": 3, "call": 3}, id="nine kills"),
        pytest.param(2, {"base": 8, "instruct": 6, "call": 6}, id="twenty kills", marks=pytest.mark.full),
    ],
)
def test_killed_in_every_phase(
    seed: int, wanted: dict[str, int], stages: Stages, whole: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    undisturbed, seconds = whole
    instants, kills, passes = random.Random(seed), dict.fromkeys(PHASES, 0), 0
    while kills != wanted:
        passes += 1
        assert passes < 20, kills
        folder = tmp_path / f"pass{passes}"
        phases.prepare(folder)
        for phase in PHASES:
            status = -1
            while status != 0:
                left = kills[phase] < wanted[phase]
                kill = instants.uniform(0.02, 0.7) * seconds[phase] if left else None
                status, _ = stages.run(folder, phase, kill)
                assert status in (0, signal.SIGKILL), (folder / f"{phase}.said").read_text()
                kills[phase] += status == signal.SIGKILL
        assert made(folder) == made(undisturbed)
        assert not list((folder / "results/checkpoints").glob("*"))  # removed after success
        said = "".join((folder / f"{phase}.said").read_text() for phase in PHASES)
        assert passes > 1 or "going on from the checkpoint of step" in said
        shutil.rmtree(folder)
