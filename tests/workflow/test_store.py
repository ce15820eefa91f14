"""Two writers in one run folder, and remotes: the second one refuses in one line, nothing is corrupted or called fresh.

A stub stage waits here for a file, so that what runs at the same time does not depend on luck.
"""

import errno
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub import clone_of, command, environment, stale

from pocketlm.artifacts import ArtifactError
from pocketlm.engines import lock

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]
WAIT = """def run(args):
    import time
    Path("started").touch()
    while not Path("go").exists():
        time.sleep(0.05)
"""


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Path:
    """A copy of the finished run in which the call tuning is to be made again, and waits for the file ``go``."""
    folder = tmp_path / "project"
    shutil.copytree(recorded, folder, symlinks=True)
    command(folder, "pocketlm", "sync")  # the copy has other times
    stage = folder / "src/pocketlm/stages/call.py"
    stage.write_text(stage.read_text().replace("def run(args):\n", WAIT))
    return folder


@pytest.fixture
def running(project: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test starts; none is left behind."""
    started: list[subprocess.Popen[str]] = []
    yield started
    (project / "go").touch()
    for process in started:
        process.wait(timeout=300)


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command; returns when its call tuning has started."""
    out = (project / "first.log").open("w")
    process = subprocess.Popen(arguments, cwd=project, env=environment(project), stdout=out, stderr=out, text=True)
    end = time.monotonic() + 300
    while not (project / "started").exists():
        assert process.poll() is None and time.monotonic() < end, (project / "first.log").read_text()
        time.sleep(0.1)
    return process


def finish(project: Path, process: subprocess.Popen[str]) -> None:
    """Let the first one go on: it ends well, and so does what is left."""
    (project / "go").touch()
    assert process.wait(timeout=300) == 0, (project / "first.log").read_text()
    out = command(project, "pocketlm", "run", "-j2")
    assert out.strip().endswith("Snakemake and DVC have nothing to do")
    assert "every recorded byte is as it was" in command(project, "pocketlm", "verify", "--bytes")


def test_second_writer_refuses_beside_snakemake(project: Path, running: list[subprocess.Popen[str]]) -> None:
    """Even a run of other targets, whose end would delete the first one's lock in Snakemake's way."""
    first = start(project, "snakemake", "-j1", "results/models/a0/call")
    running.append(first)
    line = f".: snakemake (process {first.pid}) is at work in this run folder; wait for its end, or stop it"
    assert f"snakemake: {line}" in command(project, "snakemake", "-j1", "results/models/phonelm/call", status=1)
    for name in ("record", "sync", "run"):
        assert command(project, "pocketlm", name, status=1).strip() == f"pocketlm {name}: {line}"
    refused = command(project, "dvc", "repro", "dvc.yaml:quantize-phonelm", status=1)
    assert "is busy" in refused and f"(PID {first.pid})" in refused
    assert (project / "results/models/phonelm/call/data.bin").is_file()  # DVC refused before it deleted anything
    assert "call-a0" in command(project, "dvc", "status")  # looking goes on
    finish(project, first)


@pytest.mark.full
def test_second_writer_refuses_beside_dvc(project: Path, running: list[subprocess.Popen[str]]) -> None:
    """Snakemake, which knows nothing of DVC, and record; a nested Snakemake is not refused."""
    first = start(project, "dvc", "repro", "dvc.yaml:quantize-a0")
    running.append(first)
    for arguments in (["snakemake", "-j1", "results/models/phonelm/call"], ["pocketlm", "record"]):
        out = command(project, *arguments, status=1)
        assert f"(process {first.pid}) is at work in this run folder" in out
    finish(project, first)


@pytest.mark.full
def test_killed_run_leaves_no_lock(project: Path, running: list[subprocess.Popen[str]]) -> None:
    """A lock of Snakemake that a killed run left needs no --unlock; one of a living run stays."""
    first = start(project, "snakemake", "-j1", "results/models/a0/call")
    running.append(first)
    locks = project / ".snakemake/locks"
    command(project, "snakemake", "-n")
    assert any(locks.iterdir())
    first.kill()
    first.wait()
    assert any(locks.iterdir())
    (project / "go").touch()
    time.sleep(2)  # the orphaned stage ends
    assert command(project, "pocketlm", "run", "-j2").strip().endswith("Snakemake and DVC have nothing to do")


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that holds the run folder's lock for a while; it holds it when this returns."""
    code = "import time; from pathlib import Path; from pocketlm.engines import lock; "
    code += f"lock.keep(Path({str(folder)!r}), 'x'); print('held', flush=True); time.sleep({seconds})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_stage_of_dvc_waits_for_a_holder_that_is_about_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC has deleted the outputs by then: a refusal would leave nothing. Elsewhere the second one refuses."""
    (tmp_path / "params.yaml").touch()
    holder = hold(tmp_path, 3)
    with pytest.raises(ArtifactError, match=rf"x \(process {holder.pid}\) is at work"), lock.alone(tmp_path, "y"):
        pass
    monkeypatch.setenv("DVC_STAGE", "pretrain-a0")
    with lock.alone(tmp_path, "y"):
        assert holder.wait(timeout=5) == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As Lustre is where it was mounted without flock."""

    def flock(*_: int) -> None:
        raise OSError(number, "no locks")

    (tmp_path / "params.yaml").touch()
    monkeypatch.setattr(fcntl, "flock", flock)
    words = "has no file locks.*no locks.*Lustre: -o flock.*move the run folder"
    with pytest.raises(ArtifactError, match=words), lock.alone(tmp_path, "y"):
        pass


@pytest.mark.full
def test_remote_that_is_missing_or_lacks_an_object(recorded: Path, tmp_path: Path) -> None:
    """The words are clear, and what could not be pulled is to be made, never fresh."""
    project, store = tmp_path / "project", tmp_path / "store"
    shutil.copytree(recorded, project, symlinks=True)
    assert "no remote" in command(project, "dvc", "push", status=1)
    command(project, "dvc", "remote", "add", "-d", "store", str(store))
    clone = clone_of(project, tmp_path / "clone")
    assert "do not exist neither locally nor on remote" in command(clone, "dvc", "pull", status=1)
    command(project, "dvc", "push", "-q")
    lost = next(out for out in outs(project) if out["path"] == "results/scores/world/a0.json")["md5"]
    (store / "files/md5" / lost[:2] / lost[2:]).unlink()
    assert "results/scores/world/a0.json" in command(clone, "dvc", "pull", status=1)
    out = command(clone, "pocketlm", "sync")
    assert "to be made: score-world-a0, report\n" in out
    assert stale(clone) == (["report", "score-world-a0"], ["report", "score-world-a0"])


def outs(folder: Path) -> list[dict[str, str]]:
    """Recorded outputs, by DVC itself."""
    code = "import json; from dvc.repo import Repo; r = Repo(); print(json.dumps([{'path': o.def_path, "
    code += "'md5': o.hash_info.value} for o in r.index.outs if o.hash_info]))"
    return list(json.loads(command(folder, "python", "-c", code)))
