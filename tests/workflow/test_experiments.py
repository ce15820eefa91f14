"""``dvc exp run``, differences between commits, and a lock in conflict: what git and DVC do beside Snakemake."""

import json
import re
import shutil
from pathlib import Path

import pytest
from stub import ROOT, command, stale

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]
GROUP = "quantization.group_size=64"
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b.c")


def git(project: Path, *arguments: str, status: int = 0) -> str:
    return command(project, "git", *AUTHOR, *arguments, status=status)


@pytest.fixture
def project(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished run, all of it committed that is for git."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@b.c")
    folder = tmp_path / "project"
    shutil.copytree(recorded, folder, symlinks=True)
    command(folder, "pocketlm", "sync")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "as it was")
    return folder


@pytest.mark.full
def test_experiment_in_the_workspace(project: Path) -> None:
    """Just what depends on the parameter is made; after a sync both engines have nothing to do."""
    out = command(project, "dvc", "exp", "run", "-S", GROUP)
    made = {name.partition("-")[0] for name in re.findall(r"Running stage '(.*?)'", out)}
    assert made == {"quantize", "report"}  # a stub's bytes do not change with it, so that scores stay fresh
    assert stale(project)[1] == []
    command(project, "pocketlm", "sync")
    assert stale(project) == ([], [])
    assert "quantization.group_size" in command(project, "dvc", "params", "diff", "HEAD")
    again = command(project, "dvc", "exp", "run")  # with Hydra in DVC's hands, params.yaml would be composed anew here
    assert "Running stage" not in again and "group_size: 64" in (project / "params.yaml").read_text()


@pytest.mark.full
def test_experiment_elsewhere(project: Path) -> None:
    """--temp leaves the workspace alone; applied, its lock is that of the same run in the workspace."""
    lock = project / "dvc.lock"
    before = lock.read_text()
    assert "smaller" in command(project, "dvc", "exp", "run", "--temp", "--name", "smaller", "-S", GROUP)
    assert lock.read_text() == before and stale(project) == ([], [])
    command(project, "dvc", "exp", "apply", "smaller")
    command(project, "pocketlm", "sync")
    assert stale(project) == ([], [])
    applied = lock.read_text()
    git(project, "checkout", "-q", ".")
    shutil.rmtree(project / ".dvc/cache/runs")  # what the experiment did is not to be looked up, but done again
    command(project, "dvc", "checkout", "-q")
    assert "Running stage 'quantize-a0'" in command(project, "dvc", "exp", "run", "-S", GROUP)
    assert lock.read_text() == applied != before


@pytest.mark.full
def test_differences_between_commits(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("title: PocketLM tiny", "title: Another"))
    for name in ("call", "report"):
        stub = project / f"src/pocketlm/stages/{name}.py"
        stub.write_text(stub.read_text().replace("text = digest([", "text = digest([1, "))
    command(project, "pocketlm", "run", "-j2")
    git(project, "commit", "-qam", "another title")
    out = command(project, "dvc", "params", "diff", "HEAD~1", "HEAD")
    assert "report.title" in out and "Another" in out
    assert "group_size" not in out
    assert "results/report/metrics.json" in command(project, "dvc", "metrics", "diff", "HEAD~1", "HEAD")
    plots = json.loads(command(project, "dvc", "plots", "diff", "HEAD~1", "HEAD", "--json"))["data"]
    assert {"training loss", "learning rate", "gradient norm"} <= {name.rpartition("::")[2] for name in plots}
    (loss,) = (plot for name, plot in plots.items() if name.endswith("training loss"))
    assert {revision for plot in loss for revision in plot["revisions"]} == {"HEAD~1", "HEAD"}
    drawn = json.dumps(loss)
    curve = "results/models/a0/call.curve.csv"
    both = [git(project, "show", f"{commit}:{curve}").split()[1].split(",")[1] for commit in ("HEAD~1", "HEAD")]
    assert len(set(both)) == 2 and all(value in drawn for value in both)


@pytest.mark.full
def test_lock_in_conflict_is_settled(project: Path) -> None:
    """Two branches changed different things; the documented way makes just what neither side has made."""
    params = project / "params.yaml"
    good = params.read_text()
    git(project, "checkout", "-qb", "theirs")
    params.write_text(good.replace("title: PocketLM tiny", "title: Theirs"))
    command(project, "pocketlm", "run", "-j2")
    git(project, "commit", "-qam", "theirs")
    git(project, "checkout", "-q", "-")
    command(project, "dvc", "checkout", "-q")
    params.write_text(good.replace("group_size: 32", "group_size: 64"))
    command(project, "pocketlm", "run", "-j2")
    git(project, "commit", "-qam", "ours")
    assert "dvc.lock" in git(project, "merge", "theirs", status=1)
    out = command(project, "pocketlm", "verify", "--bytes", status=1)
    assert "dvc.lock" in out and "conflict" in out
    text = params.read_text()
    assert "title: Theirs" in text and "<<<<" not in text
    lines = (ROOT / "docs/reproduce.md").read_text().splitlines()
    (recipe,) = (line.removeprefix("$ ") for line in lines if line.startswith("$ git checkout --ours"))
    out = command(project, "bash", "-c", recipe)  # as a reader would type it
    assert out.strip().endswith("recorded 1 stages; Snakemake and DVC have nothing to do")
    git(project, "commit", "-qm", "merged")
    assert git(project, "status", "--porcelain", "--untracked-files=no") == ""
    assert stale(project) == ([], [])
