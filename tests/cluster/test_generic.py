"""The profile of another scheduler: submitted, asked and finished through stand-ins of PBS's commands."""

import os
from pathlib import Path

import pytest
from stub import command, copy_project

pytestmark = [pytest.mark.xdist_group("generic"), pytest.mark.timeout(300)]
PROFILE = ("--profile", "workflow/profiles/generic")
WORLD, FACTS = "results/data/world.manifest.json", "results/facts/local/calibration.json"
# Runs the job at once, and remembers its exit status and how it was submitted.
QSUB = """#!/bin/bash
id=$(ls "$PBS_FAKE" | wc -l)
sh "${@: -1}" >"$PBS_FAKE/$id.out" 2>&1
echo $? >"$PBS_FAKE/$id.status"
echo "$@" >>"$PBS_FAKE/submitted"
echo $id
"""
QSTAT = """#!/bin/bash
printf '    job_state = F\\n    Exit_status = %s\\n' "$(cat "$PBS_FAKE/${@: -1}.status")"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copy_project(tmp_path / "project", stubbed=True)
    command(folder, "pocketlm", "compose", "recipe=tiny")
    for name, text in (("qsub", QSUB), ("qstat", QSTAT)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "fake").mkdir()
    monkeypatch.setenv("PBS_FAKE", str(tmp_path / "fake"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_dry_run(project: Path) -> None:
    local = command(project, "snakemake", "-n")
    assert "total" in local
    assert command(project, "snakemake", "-n", *PROFILE).count("rule ") == local.count("rule ")


def test_jobs_are_submitted_and_their_end_is_seen(project: Path) -> None:
    command(
        project, "snakemake", *PROFILE, "--", "results/facts/local/calibration.json", "results/data/world.manifest.json"
    )
    lines = (project.parent / "fake" / "submitted").read_text().splitlines()
    assert len(lines) == 2
    calibrate = next(line for line in lines if "-N calibrate" in line)
    assert "place=excl" in calibrate and "mem=16000mb" in calibrate and "walltime=28800" in calibrate
    assert "ngpus=0" in calibrate


@pytest.mark.full
def test_failed_job_is_retried_with_more(project: Path) -> None:
    (project / "src/pocketlm/stages/download.py").write_text("raise SystemExit(3)\n")
    out = command(project, "snakemake", *PROFILE, "--", WORLD, status=1)
    assert "Trying to restart job" in out
    lines = (project.parent / "fake" / "submitted").read_text().splitlines()
    assert [line.partition("mem=")[2].partition("mb")[0] for line in lines] == ["16000", "32000", "48000"]
