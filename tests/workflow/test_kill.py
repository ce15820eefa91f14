"""SIGKILL in every stage, of Snakemake alone or of DVC and all that it started, and Ctrl-C; a new start goes on.

A stub stage waits for the file ``go-RULE``, so that each kill falls into the stage that it is meant for.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from stub import STAGES, command, environment, stale

from pocketlm.artifacts import sha256

pytestmark = [pytest.mark.xdist_group("kill"), pytest.mark.timeout(1800)]
WAIT = """def run(args):
    import os, time
    while not Path("go-{rule}").exists():
        Path("started").write_text(str(os.getpid()))
        time.sleep(0.05)
"""
NONE = {"claim", "claims", "import_model", "inherit", "pretrain_inherited", "tokenize_join", "tokenize_shard"}
RULES = sorted(STAGES.keys() - NONE)  # those of tiny
EACH = [pytest.param(rule, marks=[] if rule == "pretrain" else [pytest.mark.full]) for rule in RULES]
DAG = """
import json
from pathlib import Path
from pocketlm.engines.dag import open_dag
with open_dag(Path(".")) as dag:
    print("JOBS", json.dumps({job.rule: [job.name, job.outputs[0]] for job in dag.jobs}))
"""


@pytest.fixture(scope="module")
def project(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run."""
    folder = tmp_path_factory.mktemp("kill") / "project"
    shutil.copytree(recorded, folder, symlinks=True)
    command(folder, "pocketlm", "sync")  # the copy has other times
    return folder


@pytest.fixture(scope="module")
def edited(project: Path) -> Path:
    """Another copy, for tests that leave formulas behind that DVC has not recorded."""
    folder = project.with_name("edited")
    shutil.copytree(project, folder, symlinks=True)
    command(folder, "pocketlm", "sync")
    return folder


@pytest.fixture(scope="module")
def jobs(project: Path) -> dict[str, list[str]]:
    """{rule: a stage's name in DVC and its first output}."""
    found: dict[str, list[str]] = json.loads(command(project, "python", "-c", DAG).rpartition("JOBS ")[2])
    return found


def hashes(project: Path) -> dict[str, str]:
    """{path: sha256} of every computed artefact; the code's own digests differ, since the test edits code."""
    results = project / "results"
    named = {path.relative_to(results): path for path in results.rglob("*") if path.is_file()}
    return {
        str(name): sha256(path)
        for name, path in named.items()
        if not {"logs", "benchmarks", "code", "partial"} & set(name.parts)
        and name.name not in (".snakemake_timestamp", ".gitignore")
    }


def started(project: Path, process: subprocess.Popen[str]) -> psutil.Process:
    """The stage's process, once it is at work."""
    end = time.monotonic() + 120
    while not (project / "started").is_file() or not (project / "started").read_text():
        assert process.poll() is None and time.monotonic() < end, (project / "killed.log").read_text()
        time.sleep(0.05)
    return psutil.Process(int((project / "started").read_text()))


def kill_in(project: Path, rule: str, arguments: list[str], end: Callable[[int], None]) -> None:
    """Start a command, and end it (a function of its process number) when the rule's stage is at work."""
    stage = project / f"src/pocketlm/stages/{rule}.py"
    wait = WAIT.format(rule=rule)
    if wait not in stage.read_text():
        stage.write_text(stage.read_text().replace("def run(args):\n", wait))
    for name in (f"go-{rule}", "started"):
        (project / name).unlink(missing_ok=True)
    with (project / "killed.log").open("w") as out:
        process = subprocess.Popen(
            arguments,
            cwd=project,
            env=environment(project),
            stdout=out,
            stderr=out,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        )
        at_work = started(project, process)
        end(process.pid)
        at_work.wait(timeout=10)  # the stage has ended too, although nobody waited for it
        (project / f"go-{rule}").touch()  # before Snakemake ends: of what there is it makes a partial report
        assert process.wait(timeout=60) != 0


@pytest.mark.parametrize("rule", EACH)
def test_snakemake_is_killed(project: Path, jobs: dict[str, list[str]], rule: str) -> None:
    """Killed alone, so that it can end nothing: its stage ends by itself; the next run makes what is missing."""
    before = hashes(project)
    target = jobs[rule][1]
    kill_in(project, rule, ["snakemake", "-j1", "--", target], lambda number: os.kill(number, signal.SIGKILL))
    assert command(project, "pocketlm", "run", "-j2").strip().endswith("Snakemake and DVC have nothing to do")
    assert hashes(project) == before


@pytest.mark.parametrize("rule", EACH)
def test_snakemake_is_interrupted(edited: Path, jobs: dict[str, list[str]], rule: str) -> None:
    """Ctrl-C reaches Snakemake and its stage; the next run makes the stage's outputs in the same bytes."""
    before = hashes(edited)
    target = jobs[rule][1]
    source = edited / f"src/pocketlm/stages/{rule}.py"  # a new formula, so that there is something to do
    source.write_text(source.read_text().replace("text = digest([", "text = digest([*[], "))
    kill_in(edited, rule, ["snakemake", "-j1", "--", target], lambda number: os.killpg(number, signal.SIGINT))
    command(edited, "snakemake", "-j1", "--", target)
    assert hashes(edited) == before


@pytest.mark.parametrize("rule", EACH)
def test_dvc_is_killed(project: Path, jobs: dict[str, list[str]], rule: str) -> None:
    """DVC has deleted the stage's outputs before it runs it; they come back in the same bytes."""
    before = hashes(project)
    name = f"dvc.yaml:{jobs[rule][0]}"
    stage = project / f"src/pocketlm/stages/{rule}.py"
    stage.write_text(stage.read_text() + "\nCHANGED = True\n")
    stage.write_text(stage.read_text().replace("def run(args):\n", "def run(args):\n    assert CHANGED\n"))
    kill_in(project, rule, ["dvc", "repro", name], lambda number: os.killpg(number, signal.SIGKILL))
    assert "up to date" not in command(project, "dvc", "status", name)
    command(project, "dvc", "repro", name)
    command(project, "pocketlm", "sync")
    snakemake, dvc = stale(project)
    assert snakemake == dvc
    assert jobs[rule][0] not in dvc  # the same rule's other entries are: dvc was asked for one
    assert hashes(project) == before
