"""SIGKILL in every stage, of Snakemake, DVC or ``pocketlm run`` alone or of all together, and Ctrl-C; a start goes on.

A stub stage waits for the file ``go-RULE``, so that each kill falls into the stage that it is meant for.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from stub import STAGES, command, environment, stale

from pocketlm.artifacts import sha256
from pocketlm.engines import orphan

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
    """Start a command, and end it (a function of its process number) when the rule's stage is at work.

    All that it started must end too: what is left would make the stage beside the next start.
    """
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
        family = psutil.Process(process.pid).children(recursive=True)
        end(process.pid)
        at_work.wait(timeout=10)  # the stage has ended too, although nobody waited for it
        (project / f"go-{rule}").touch()  # before Snakemake ends: of what there is it makes a partial report
        assert process.wait(timeout=60) != 0
        _, left = psutil.wait_procs(family, timeout=30)
        assert not left


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


def change(project: Path, rule: str) -> None:
    """Give the rule a new formula that writes the same bytes."""
    stage = project / f"src/pocketlm/stages/{rule}.py"
    stage.write_text(stage.read_text() + "\nCHANGED = True\n")
    stage.write_text(stage.read_text().replace("def run(args):\n", "def run(args):\n    assert CHANGED\n"))


def check_restarted(project: Path, name: str) -> None:
    """The stage is made and recorded, and both engines say the same."""
    command(project, "pocketlm", "sync")
    snakemake, dvc = stale(project)
    assert snakemake == dvc
    assert name not in dvc  # the same rule's other entries are: one was asked for


@pytest.mark.full
@pytest.mark.parametrize("rule", RULES)
def test_dvc_is_killed(project: Path, jobs: dict[str, list[str]], rule: str) -> None:
    """DVC has deleted the stage's outputs before it runs it; they come back in the same bytes."""
    before = hashes(project)
    name = f"dvc.yaml:{jobs[rule][0]}"
    change(project, rule)
    kill_in(project, rule, ["dvc", "repro", name], lambda number: os.killpg(number, signal.SIGKILL))
    assert "up to date" not in command(project, "dvc", "status", name)
    command(project, "dvc", "repro", name)
    check_restarted(project, jobs[rule][0])
    assert hashes(project) == before


@pytest.mark.full
@pytest.mark.parametrize("rule", RULES)
def test_dvc_alone_is_killed(project: Path, jobs: dict[str, list[str]], rule: str) -> None:
    """It can end nothing: its Snakemake and stage end by themselves, and it can start again."""
    name = jobs[rule][0]
    check_killed_alone(project, rule, name, ["dvc", "repro", f"dvc.yaml:{name}"])


def test_pocketlm_run_alone_is_killed(project: Path, jobs: dict[str, list[str]]) -> None:
    name, target = jobs["pretrain"]
    check_killed_alone(project, "pretrain", name, ["pocketlm", "run", ".", "-j1", target])


def check_killed_alone(project: Path, rule: str, name: str, arguments: list[str]) -> None:
    """Kill just the process that was started, and start the same again."""
    before = hashes(project)
    change(project, rule)
    kill_in(project, rule, arguments, lambda number: os.kill(number, signal.SIGKILL))
    command(project, *arguments)
    check_restarted(project, name)
    assert hashes(project) == before


def test_engine_that_died_before_its_stage_looked() -> None:
    """It reads as no other node's process: the stage ends at once. One of another host is not ours to watch."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    ended: list[bool] = []
    orphan.watch([orphan.name(), orphan.name(dead.pid)], lambda: ended.append(True))
    assert ended == [True]
    orphan.watch([f"{dead.pid}@elsewhere:0"], lambda: ended.append(True))
    assert ended == [True]


@pytest.mark.parametrize("ended", [0, 1])
def test_any_of_several_engines_ends_a_stage(ended: int) -> None:
    engines = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    end = threading.Event()
    orphan.watch([orphan.name(engine.pid) for engine in engines], end.set)
    assert not end.wait(0.2)
    engines[ended].kill()
    assert end.wait(10)
    for engine in engines:
        engine.kill()
        engine.wait()
