"""``pocketlm run``: sync, snakemake, record in one."""

import shutil
from pathlib import Path

import pytest
from stub import command, edited, stale

from pocketlm.config import ConfigError
from pocketlm.engines.run import arrange, only_looks

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "given, want",
    [
        ([], [".", "--"]),
        (["runs/x"], ["runs/x", "--"]),
        (["--until", "score"], [".", "--", "--until", "score"]),
        (["runs/x", "-j2", "--", "a"], ["runs/x", "--", "-j2", "--", "a"]),
        (["--help"], ["--help"]),
    ],
)
def test_arguments_of_snakemake_are_left_alone(given: list[str], want: list[str]) -> None:
    assert arrange(given) == want


@pytest.mark.full
def test_run_after_restoring_and_after_a_failure(recorded: Path, tmp_path: Path) -> None:
    """What DVC restored is not made again; what fails is named, the rest recorded; repaired, both engines are clean."""
    project = tmp_path / "project"
    shutil.copytree(recorded, project, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    out = command(project, "pocketlm", "run")
    assert "synced 38 of 38 jobs" in out and "Nothing to be done" in out
    assert out.strip().endswith("pocketlm run: recorded 0 stages; Snakemake and DVC have nothing to do")
    stage = project / "src/pocketlm/stages/call.py"
    good = stage.read_text()
    changed = good.replace("text = digest([", "text = digest([1, ")
    failing = 'def run(args):\n    if args.entry == ["phonelm"]:\n        raise ValueError("bad batch")\n'
    stage.write_text(changed.replace("def run(args):\n", failing))
    out = command(project, "pocketlm", "run", ".", "-j2", status=1)
    last = out.strip().splitlines()[-1]
    assert "not up to date: call-phonelm" in last and "call-a0" not in last
    snakemake, dvc = stale(project)  # its old outputs and all that was made of them are there, and stale in both
    assert snakemake == dvc == ["call-phonelm", "quantize-phonelm", "report", "score-world-phonelm"]
    stage.write_text(changed)
    out = command(project, "pocketlm", "run", "-j2")
    assert out.strip().endswith("Snakemake and DVC have nothing to do")
    assert stale(project) == ([], [])


@pytest.mark.parametrize("name", ["record", "run"])
def test_not_inside_a_stage_of_dvc(recorded: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """DVC records by itself what its stages make; a commit inside of one would end in a lock's error."""
    monkeypatch.setenv("DVC_STAGE", "call-a0")
    assert "inside a DVC stage; dvc repro records by itself" in command(recorded, "pocketlm", name, status=1)


@pytest.mark.parametrize("look", ["-n", "-np", "-pn", "--dryrun", "-S", "-D", "-l", "--lt", "--dag", "--lint", "--li"])
def test_what_only_looks(look: str) -> None:
    """Alone and among others; a target of that name is none."""
    assert only_looks([look]) and only_looks(["-j4", look])
    assert not only_looks(["-j4", "-k", "--until", "score", "--", look])


@pytest.mark.parametrize("touch", ["--touch", "-t", "-pt", "--executor=touch"])
def test_touch_is_refused(touch: str) -> None:
    """Snakemake would hold what is stale up to date, and it would be recorded so."""
    with pytest.raises(ConfigError, match="record as fresh what is stale"):
        only_looks(["-j2", touch])


@pytest.mark.full
def test_looking_records_nothing(recorded: Path) -> None:
    assert "recorded" not in command(recorded, "pocketlm", "run", "-np")
    before = (recorded / "dvc.lock").read_bytes()
    with edited(recorded / "params.yaml", "title: PocketLM tiny", "title: Another"):
        assert "pocketlm sync" in command(recorded, "pocketlm", "run", "--touch", status=2)
        assert stale(recorded) == (["report"], ["report"])
    assert (recorded / "dvc.lock").read_bytes() == before
    assert "no such file" in command(recorded, "pocketlm", "run", "nowhere", status=1)
    assert not (recorded / "nowhere").exists()
