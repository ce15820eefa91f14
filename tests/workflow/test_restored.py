"""What DVC restored, or somebody copied, is never taken for what it is not: by record, by sync, by Snakemake after it.

Each test has a copy of one finished stub run. Snakemake alone calls a job up to date that it knows nothing of.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from stub import command, stale

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]
OLD = (1_000_000_000, 1_000_000_000)  # 2001


def copy(recorded: Path, folder: Path, *without: str) -> Path:
    """A copy of the finished run."""
    shutil.copytree(recorded, folder, symlinks=True, ignore=shutil.ignore_patterns(*without))
    return folder


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def locked(project: Path) -> dict[str, str]:
    """{output: md5} of dvc.lock."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def cached(project: Path, path: str) -> Path:
    """The cache's object of a recorded file, also of one in a recorded folder."""
    known = locked(project)
    place = project / ".dvc/cache/files/md5"
    if path in known:
        return place / known[path][:2] / known[path][2:]
    folder, _, name = path.rpartition("/")
    listing = place / known[folder][:2] / known[folder][2:]
    (found,) = (entry["md5"] for entry in json.loads(listing.read_text()) if entry["relpath"] == name)
    return place / found[:2] / found[2:]


@pytest.mark.full
def test_changed_after_a_pull(recorded: Path, tmp_path: Path) -> None:
    """Pull, change, and no sync between: the old bytes are not recorded as those of the new parameters."""
    project = copy(recorded, tmp_path / "project", ".snakemake")
    replace(project / "params.yaml", "  stories: 600", "  stories: 601")
    for path in (project / "results").rglob("*"):
        os.utime(path, OLD)  # a newer input alone would make Snakemake run a stage
    assert stale(project)[0] == ["report"]  # the trap: just what shows params.yaml
    out = command(project, "pocketlm", "record")
    assert "recorded 0 stages" in out and "not recorded: download-world: Snakemake did not make" in out
    assert "to be made: download-world" in command(project, "pocketlm", "sync")
    snakemake, dvc = stale(project)
    assert snakemake == dvc and {"download-world", "pretrain-a0", "report"} <= set(dvc)


@pytest.mark.full
@pytest.mark.parametrize("written", [False, True])
def test_metadata_of_other_bytes(recorded: Path, tmp_path: Path, written: bool) -> None:
    """Metadata that fits the parameters counts only if nothing wrote to the outputs since: else they are restored
    ones, of other parameters."""
    project = copy(recorded, tmp_path / "project")
    command(project, "pocketlm", "sync")
    replace(project / "dvc.lock", "        stories: 600", "        stories: 599")  # of another commit
    if written:
        os.utime(project / "results/data/world.manifest.json")
    assert "download-world" in command(project, "dvc", "status")
    assert f"recorded {int(not written)} stages" in command(project, "pocketlm", "record")
    command(project, "pocketlm", "sync")
    snakemake, dvc = stale(project)
    assert snakemake == dvc and ("download-world" in dvc) == written


@pytest.mark.full
@pytest.mark.parametrize("time", [None, OLD], ids=["new", "old"])
def test_restored_input_with_an_old_time(recorded: Path, tmp_path: Path, time: tuple[int, int] | None) -> None:
    """What was made of other bytes is stale, though it is newer: Snakemake compares bytes of newer inputs only."""
    project = copy(recorded, tmp_path / "project")
    command(project, "pocketlm", "sync")
    command(project, "snakemake", "-j1", "--force", "results/search/proposal.json")  # just made
    calibration = project / "results/facts/local/calibration.json"
    calibration.write_text("{}\n")
    command(project, "dvc", "commit", "-q", "-f", "calibrate-local")  # as another commit's lock has it
    os.utime(calibration, time)
    assert "recorded 0 stages" in command(project, "pocketlm", "record")
    assert "to be made: propose" in command(project, "pocketlm", "sync")
    snakemake, dvc = stale(project)
    assert snakemake == dvc and {"propose", "report"} <= set(dvc) and "calibrate-local" not in dvc


FOLDER = pytest.param("results/models/a0/call/data.bin", marks=pytest.mark.full)


@pytest.mark.parametrize("path", ["results/scores/world/a0.json", FOLDER])
def test_damaged_cache_object(recorded: Path, tmp_path: Path, path: str) -> None:
    """DVC restores it and says that all is well; sync names it, and it is made again, never used."""
    project = copy(recorded, tmp_path / "project")
    command(project, "pocketlm", "sync")
    kept = cached(project, path)
    mode, times, content = kept.stat().st_mode, kept.stat(), bytearray(kept.read_bytes())
    content[10] ^= 1
    kept.chmod(0o644)
    kept.write_bytes(content)
    kept.chmod(mode)
    os.utime(kept, ns=(times.st_atime_ns, times.st_mtime_ns))
    (project / path).unlink()
    command(project, "dvc", "checkout", "-q")
    assert (project / path).read_bytes() == content
    assert "up to date" in command(project, "dvc", "status")  # the trap
    artefact = path if path in locked(project) else str(Path(path).parent)
    said = command(project, "pocketlm", "sync", status=1)
    assert f"{artefact}: not the bytes that dvc.lock names" in said
    snakemake, dvc = stale(project)
    assert snakemake == dvc and {"score-world-a0", "report"} <= set(dvc)
    assert f"cache object {kept.parent.name}{kept.name}" in command(project, "pocketlm", "verify", "--bytes", status=1)


@pytest.mark.full
def test_writing_to_an_artefact_leaves_the_cache(recorded: Path, tmp_path: Path) -> None:
    """Also as root, whom a read-only link does not stop: files of the workspace are copies of their own."""
    project = copy(recorded, tmp_path / "project")
    command(project, "pocketlm", "sync")
    names = ("results/scores/world/a0.json", "results/models/a0/call/data.bin", "results/arch/a0.json")
    for name in names:
        before = locked(project)
        (project / name).unlink()
        command(project, "dvc", "checkout", "-q", *([name] if name in before else [str(Path(name).parent)]))
        kept = cached(project, name)
        with (project / name).open("ab") as stream:
            stream.write(b"x")
        assert hashlib.md5(kept.read_bytes()).hexdigest() == kept.parent.name + kept.name
        assert (project / name).read_bytes() == kept.read_bytes() + b"x"


@pytest.mark.full
def test_edited_docstring(recorded: Path, tmp_path: Path) -> None:
    """Accepted by sync, which says so; DVC, whose dependency is the source, has nothing to do either."""
    project = copy(recorded, tmp_path / "project")
    command(project, "pocketlm", "sync")
    replace(project / "src/pocketlm/stages/call.py", '"""Stub of a stage."""', '"""A stub."""  # cosmetic')
    assert "code:" in command(project, "dvc", "status")
    out = command(project, "pocketlm", "sync")
    assert "accepted: an edit of sources that changes no stage's meaning" in out and "to be made" not in out
    assert "up to date" in command(project, "dvc", "status")
    assert stale(project) == ([], [])
    replace(project / "src/pocketlm/stages/call.py", "text = digest([", "text = digest([1, ")
    out = command(project, "pocketlm", "sync")
    assert "accepted" not in out and "to be made: call-" in out


@pytest.mark.full
def test_report_comes_from_the_run_cache(recorded: Path, tmp_path: Path) -> None:
    """Its table is in git and not in DVC's cache, and yet DVC keeps it with what the run made."""
    project = copy(recorded, tmp_path / "project")
    command(project, "pocketlm", "sync")
    shutil.rmtree(project / ".dvc/cache/runs")  # what record kept; here it is dvc repro
    shutil.rmtree(project / "results/report")
    assert "Running stage 'report'" in command(project, "dvc", "repro", "--force", "--single-item", "report")
    made = {path.name: path.read_bytes() for path in (project / "results/report").iterdir() if path.is_file()}
    assert {"index.html", "table.csv", "metrics.json"} <= made.keys()
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    del lock["stages"]["report"]
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    shutil.rmtree(project / "results/report")
    out = command(project, "dvc", "repro", "report")
    assert "Stage 'report' is cached - skipping run" in out and "Running stage" not in out
    assert {name: (project / "results/report" / name).read_bytes() for name in made} == made
    assert "world" in command(project, "dvc", "plots", "show", "--json", "results/report/table.csv")
