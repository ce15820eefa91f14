"""The benchmark of the engines' overhead: its arithmetic on a run written down by hand."""

import datetime
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import overhead
from stub import command, copy_project


@pytest.mark.parametrize(
    "spans, want",
    [([], 0.0), ([(0, 2), (1, 3)], 3.0), ([(0, 4), (1, 2)], 4.0), ([(5, 6), (0, 1)], 2.0), ([(0, 1), (1, 2)], 2.0)],
)
def test_seconds_in_which_a_stage_is_at_work(spans: list[tuple[float, float]], want: float) -> None:
    assert overhead.covered(spans) == want


def test_share_of_a_run_with_two_jobs_at_a_time(tmp_path: Path) -> None:
    """40 s of wall: stages at 1-21, 11-31 and 33-39 leave 4 s, a tenth; an older stage's file does not count."""
    begun = datetime.datetime(2026, 11, 30, 12, 0, 0)
    log = tmp_path / ".snakemake/log/2026-11-30T120000.000000.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text("Complete log(s): x\nElapsed time: 0:00:40.000000\n")
    log.with_name("2026-11-30T130000.000000.snakemake.log").write_text("Nothing to be done\n")  # did not run
    (tmp_path / "results/benchmarks").mkdir(parents=True)
    for name, seconds, end in (("a", 20.0, 21), ("b", 20.0, 31), ("c", 6.0, 39), ("old", 9.0, -100)):
        path = tmp_path / f"results/benchmarks/{name}.tsv"
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:00\t1\n")
        os.utime(path, times=(0, begun.timestamp() + end))
    said = overhead.share(tmp_path)
    assert said.startswith("3 stages, together 46.0 s; wall 40.0 s, in 36.0 s of them")
    assert "4.0 s = 10.0%" in said


def test_a_large_dry_run_says_how_many_jobs_and_why(tmp_path: Path) -> None:
    """It ends after table and reasons where the jobs are not listed; a model that is not there is named."""
    project = copy_project(tmp_path / "large", stubbed=True)
    overhead.many(project, 1000)
    out = command(project, "snakemake", "-n")
    assert out.count("total") == out.count("Reasons:") == 1
    assert "dry-run" not in out  # Snakemake's own last words, after those for each job
    assert out.count("This was a dry run. It lists its jobs with: snakemake -n --quiet host") == 1
    assert command(project, "snakemake", "-n", "--quiet", "host").count("rule score:") > 200
    assert "params.yaml names no m1000" in command(project, "snakemake", "-n", "results/models/m1000/base", status=1)
