"""``pocketlm gc`` frees what nothing needs, and only that: trials, commits, experiments, locks, a shared cache."""

import argparse
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from stub import command

from pocketlm.engines import gc
from pocketlm.engines.dag import Job

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b.c")
GONE = "results/scores/world/phonelm.json"


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    folder = tmp_path / "project"
    shutil.copytree(recorded, folder, symlinks=True)
    command(folder, "pocketlm", "sync")  # the copy has other times
    return folder


@pytest.fixture
def committed(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy, with all committed that is for git."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@b.c")
    command(project, "git", "add", "-A")
    command(project, "git", "commit", "-qm", "as it was")
    return project


def checkpoint(project: Path, name: str) -> Path:
    """A checkpoint of one MiB."""
    path = project / "results/checkpoints" / name / "state"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(1 << 20))
    return path.parent


def cached(project: Path) -> set[str]:
    """Hashes of the cache's objects, by their files."""
    folder = project / ".dvc/cache/files/md5"
    return {path.parent.name + path.name for path in folder.glob("*/*")}


def named(project: Path, lock: str) -> set[str]:
    """Hashes that the text of a lock names, with the members of folders, read by hand."""
    outs = [out for stage in yaml.safe_load(lock)["stages"].values() for out in stage.get("outs", [])]
    found = {out["md5"] for out in outs}
    for name in sorted(found):
        if name.endswith(".dir"):
            path = project / ".dvc/cache/files/md5" / name[:2] / name[2:]
            found |= {member["md5"] for member in json.loads(path.read_text())}
    return found


def variant(project: Path, number: int) -> str:
    """Make the report in other bytes and record it; returns the lock's text."""
    stage = project / "src/pocketlm/stages/report.py"
    head, _, tail = stage.read_text().partition("text = digest([")
    stage.write_text(f"{head}text = digest([{number}, {tail}")
    command(project, "pocketlm", "run", "-j2")
    return (project / "dvc.lock").read_text()


def test_shows_then_frees(project: Path) -> None:
    """What no entry makes and checkpoints of finished trainings; recorded artefacts and DVC's own files stay."""
    (project / "results/scores/world/gone.json").write_text("{}")
    own = checkpoint(project, "base-a0-0123456789abcdef")
    elsewhere, link = project / "elsewhere", project / "results/scores/linked"
    elsewhere.mkdir()
    (elsewhere / "mine").write_bytes(bytes(1 << 20))
    link.symlink_to(elsewhere)
    ignoring = project / "results/models/.gitignore"
    ignoring.write_text("/a0\n")
    shown = command(project, "pocketlm", "gc")
    assert "results/scores/world/gone.json" in shown and "1.0 MiB  results/checkpoints/base-a0-" in shown
    assert ".gitignore" not in shown and "can be freed (pocketlm gc --apply): 1.0 MiB" in shown
    assert (project / "results/scores/world/gone.json").is_file() and own.is_dir()
    before = cached(project)
    command(project, "pocketlm", "gc", "--apply")
    assert not (project / "results/scores/world/gone.json").exists() and not own.exists()
    assert not link.is_symlink() and (elsewhere / "mine").is_file()
    assert ignoring.is_file() and cached(project) == before
    assert "every recorded byte is as it was" in command(project, "pocketlm", "verify", "--bytes")
    assert "up to date" in command(project, "dvc", "status")


def test_unfinished_trainings_keep_their_checkpoints(project: Path) -> None:
    """A trial and the random arm are to be made again, and so is the searched model below them; phonelm is done."""
    for path in ("trials/r0-s1.json", "random.json"):
        (project / "results/search" / path).unlink()
    kept = [checkpoint(project, name) for name in ("r0-s1", "random", "base-a0-0123456789abcdef", "call-a0-00")]
    done = [checkpoint(project, name) for name in ("r0-s0", "r0-s10", "base-phonelm-0123456789abcdef", "base-a-00")]
    command(project, "pocketlm", "gc", "--apply")
    assert [path.name for path in kept if not path.is_dir()] == []
    assert [path.name for path in done if path.is_dir()] == []


def stage_job(name: str) -> Job:
    return Job(name, name.partition("-")[0], (), (), frozenset(), (), "", True, "")


def test_names_of_checkpoints_are_those_of_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages themselves, with the training left out, say where their checkpoints go."""
    from pocketlm import compose, numerics
    from pocketlm.search import trials
    from pocketlm.stages import random, trial

    found: list[Path] = []

    def run_trial(*arguments: Any) -> dict[str, Any]:
        found.append(arguments[-1])
        return {"diverged": True, "tokens": 0}

    monkeypatch.setattr(trials, "run_trial", run_trial)
    monkeypatch.setattr(numerics, "check", lambda _: None)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(compose.compose("tiny", [])[0])
    Path("candidates.json").write_text(json.dumps({"slots": [None, None], "random": [None]}))
    common = {"params": "params.yaml", "candidates": "candidates.json", "tokens": [], "out": "out.json"}
    trial.run(argparse.Namespace(**common, rung=0, slot=1))
    random.run(argparse.Namespace(**common))
    assert found == [Path("results/checkpoints") / gc.checkpoint(stage_job(name)) for name in ("trial-0-1", "random")]


@pytest.mark.parametrize("rule, phase", [("pretrain", "base"), ("pretrain_inherited", "base"), ("call", "call")])
def test_names_of_models_checkpoints(rule: str, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketlm.config import Model, Params, Plan
    from pocketlm.data import reader
    from pocketlm.stages import _training

    monkeypatch.setattr(reader, "TokenReader", lambda *_: SimpleNamespace())
    params = Params(models={"m": Model(base="p", call="p")}, plans={"p": Plan()})
    args = argparse.Namespace(entry="m", params="params.yaml", tokens=Path("t.manifest.json"))
    start = _training.Start(params.models["m"].architecture, None, None)
    job = _training.job_of(args, rule, phase, params, start, 100, {"tokens": "of these bytes"})
    assert job.checkpoints is not None
    assert str(job.checkpoints).startswith(f"results/checkpoints/{gc.checkpoint(stage_job(f'{rule}-m'))}")


@pytest.mark.full
def test_cache_keeps_commits_experiments_and_the_workspace(committed: Path) -> None:
    """Of four reports only the one goes that no lock names any more."""
    locks = {"commit": (committed / "dvc.lock").read_text(), "experiment": variant(committed, 2)}
    command(committed, "dvc", "exp", "save", "--name", "kept", "--force")
    lost = variant(committed, 3)
    locks["workspace"] = variant(committed, 4)
    keep: set[str] = set().union(*(named(committed, text) for text in locks.values()))
    spare, before = named(committed, lost) - keep, cached(committed)
    assert len(spare) >= 2 and keep <= before  # the report and its code file
    shown = command(committed, "pocketlm", "gc")
    assert f"in {len(before - keep)} objects that no lock names" in shown and cached(committed) == before
    command(committed, "pocketlm", "gc", "--apply")
    assert before - cached(committed) >= spare and keep <= cached(committed)
    command(committed, "dvc", "exp", "apply", "kept")
    assert "up to date" in command(committed, "dvc", "status")
    command(committed, "git", "checkout", "-q", "-f", "HEAD")
    command(committed, "dvc", "checkout", "-q")
    assert "up to date" in command(committed, "dvc", "status")


@pytest.mark.full
def test_lock_keeps_what_has_lost_its_entry(project: Path) -> None:
    """Files and objects stay as long as dvc.lock names them; --forget drops them from it."""
    params = project / "params.yaml"
    data = yaml.safe_load(params.read_text())
    del data["models"]["phonelm"]
    data["deployments"] = {n: e for n, e in data["deployments"].items() if e["model"] != "phonelm"}
    for profile in data["profiles"].values():
        profile["models"] = [name for name in profile["models"] if name != "phonelm"]
    data["search"]["anchors"] = [name for name in data["search"]["anchors"] if name != "phonelm"]
    params.write_text(yaml.safe_dump(data, sort_keys=False))
    command(project, "pocketlm", "dvc")
    before, own = cached(project), {GONE, "results/models/phonelm/base/data.bin"}
    shown = command(project, "pocketlm", "gc", "--apply")
    assert "kept: what dvc.lock names of entries that are gone:" in shown and "score-world-phonelm" in shown
    assert all((project / path).is_file() for path in own) and cached(project) == before
    assert GONE in command(project, "pocketlm", "gc", "--forget") and (project / GONE).is_file()
    command(project, "pocketlm", "gc", "--forget", "--apply")
    lock = (project / "dvc.lock").read_text()
    assert "phonelm:" not in lock and not any((project / path).exists() for path in own)
    assert cached(project) == named(project, lock)
    assert "no job" not in command(project, "pocketlm", "sync")


def test_shared_cache_is_left_alone(project: Path, tmp_path: Path) -> None:
    """Another project's objects lie there too."""
    shared = tmp_path / "shared"
    shutil.copytree(project / ".dvc/cache", shared)
    other = shared / "files/md5/00/112233445566778899aabbccddeeff"
    other.parent.mkdir(exist_ok=True)
    other.write_text("of another project")
    command(project, "dvc", "config", "--local", "cache.dir", str(shared))
    own = checkpoint(project, "base-a0-0123456789abcdef")
    out = command(project, "pocketlm", "gc", "--apply")
    assert "the cache lies outside" in out and "other projects may need" in out and "freed: 1.0 MiB" in out
    assert other.is_file() and not own.exists()


def spare(project: Path, name: str) -> str:
    """An object of the cache, by its hash."""
    path = project / ".dvc/cache/files/md5" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_text("an object")
    return name


def test_a_run_that_was_never_here_hinders_nothing(committed: Path) -> None:
    """A clone has locks of runs that were made elsewhere. What a merged side branch alone named is kept."""
    before, lost, kept = cached(committed), spare(committed, "a" * 32), spare(committed, "b" * 32)
    lock, theirs = (committed / "dvc.lock").read_text(), committed / "runs/theirs"
    theirs.mkdir(parents=True)
    (theirs / "dvc.lock").write_text(re.sub(r"md5: ...", "md5: fff", lock))
    shutil.copy(committed / "dvc.yaml", theirs)
    command(committed, "git", "checkout", "-q", "-b", "side")
    (theirs / "old.dvc").write_text(f"outs:\n- md5: {kept}\n  hash: md5\n  path: old\n")
    command(committed, "git", "add", "-f", "runs/theirs")
    command(committed, "git", "commit", "-qm", "theirs")
    command(committed, "git", "checkout", "-q", "-")
    command(committed, "git", "merge", "-q", "-s", "ours", "side")
    command(committed, "git", "branch", "-q", "-D", "side")
    command(committed, "git", "checkout", "HEAD^2", "--", "runs/theirs/dvc.lock", "runs/theirs/dvc.yaml")
    assert "in 1 objects that no lock names" in command(committed, "pocketlm", "gc", "--apply")
    assert cached(committed) == before | {kept} and lost not in cached(committed)


def test_a_listing_that_is_lost_stops_it(project: Path) -> None:
    """Nothing else tells which objects are the folder's own."""
    (listing,) = re.findall(r"path: results/models/a0/call\n.*\n\s+md5: (\S+)", (project / "dvc.lock").read_text())
    path = project / ".dvc/cache/files/md5" / listing[:2] / listing[2:]
    path.chmod(0o644)
    path.unlink()
    before = cached(project)
    out = command(project, "pocketlm", "gc", "--apply")
    assert "results/models/a0/call: the list of its files is not in the cache" in out and cached(project) == before
