"""``pocketlm compare``: published tables add up, ours stands beside them, and no difference is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pocketlm.cli import main
from pocketlm.config import Task
from pocketlm.report.beside import grid, task_differences, text
from pocketlm.report.page import PAPERS, load_papers

BOOKSHELF = Path(__file__).resolve().parents[2] / "runs" / "bookshelf"
NAMES = sorted(path.stem for path in PAPERS.glob("*.yaml"))
PAPER: dict[str, Any] = {
    **dict.fromkeys(("name", "arxiv", "source", "trust", "training", "note"), "x"),
    "harness": {"name": "lm-eval", "task_versions": 1, "items": "all"},
    "tasks": {name.lower(): {"label": name, "metric": "acc", "shots": 0} for name in ("PIQA", "SciQ")},
    "models": [
        {"name": "big", "params_m": 100, "scores": [70.0, 80.0]},
        {"name": "own", "own": True, "params_m": 2, "scores": [60.0, 50.0]},
    ],
}


@pytest.mark.parametrize("name", NAMES)
def test_published_averages_are_those_of_their_rows(name: str) -> None:
    """A number copied wrongly would show: each row's mean is its published average, to the digits that are printed."""
    off = {
        row["name"]
        for row in load_papers([str(PAPERS / f"{name}.yaml")])[0]["models"]
        if abs(sum(row["scores"]) / len(row["scores"]) - row["average"]) > 0.06
    }
    assert off == set()


@pytest.mark.parametrize(
    "change, says",
    [
        ({}, []),
        ({"metric": "acc_norm"}, ["metric acc_norm, theirs acc"]),
        ({"num_fewshot": 5}, ["5 shots, theirs 0"]),
        ({"version": 2}, ["lm-eval task version 2, theirs lm-eval, version 1"]),
        ({"limit": 200}, ["200 items, theirs all"]),
    ],
)
def test_each_difference_is_said(change: dict[str, Any], says: list[str]) -> None:
    ours = Task(**{"source": "piqa", "metric": "acc", "version": 1, **change})
    assert task_differences(ours, PAPER["tasks"]["piqa"], PAPER, 200) == says


def test_like_for_like_only_where_nothing_differs() -> None:
    row = {"value": "0.5", "stderr": "0.01", "n": "1838"}
    same = text(PAPER, "m base bf16", 1e6, {"piqa": row}, {"piqa": Task(source="piqa")})
    assert "\nLike for like.\n" in same and "- not scored here: SciQ" in same
    other = text(PAPER, "m base bf16", 1e6, {"piqa": row}, {"piqa": Task(source="piqa", metric="acc_norm")})
    assert "Not like for like. What differs:\n- PIQA: metric acc_norm, theirs acc" in other
    none = text(PAPER, "m base bf16", 1e6, {}, {})
    assert none.endswith("No task in common; it has PIQA, SciQ.")


def test_columns_are_those_in_common_and_rows_go_by_size() -> None:
    lines = grid(PAPER, "m", 1e6, {"sciq": {"value": "0.55", "stderr": "0.02", "n": "10"}})
    assert lines == [
        ["model", "parameters", "SciQ"],
        ["m", "1 M", "55.0 ± 2.0"],
        ["own*", "2 M", "50.0"],
        ["big", "100 M", "80.0"],
    ]


def test_command_on_a_committed_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Bookshelf's own table and metric: the accuracy of the metric that its suite pins, not of the other."""
    assert main(["compare", "mobilellm", "--run", str(BOOKSHELF), "--paper", "mobilellm"]) == 0
    out = capsys.readouterr().out
    task = yaml.safe_load((BOOKSHELF / "params.yaml").read_text())["suites"]["bookshelf"]["tasks"]["hellaswag"]
    rows = [line.split(",") for line in (BOOKSHELF / "results/report/table.csv").read_text().splitlines()]
    wanted = ["mobilellm", "base", "bf16", "hellaswag", task["metric"]]
    value = next(float(row[9]) for row in rows if [row[i] for i in (1, 3, 4, 7, 8)] == wanted)
    ours = next(line for line in out.splitlines() if line.startswith("mobilellm base bf16"))
    assert f"{100 * value:.1f} ± " in ours and "Not like for like" in out and "MobileLLM-125M*" in out


@pytest.mark.parametrize(
    "arguments, status, says",
    [
        (["nothing"], 2, "no model 'nothing'"),
        (["mobilellm", "--paper", "gpt5"], 2, "no paper 'gpt5'; there are: mobilellm, pangu_pi_pro, phonelm"),
        (["mobilellm", "--scheme", "w8a8"], 1, "no score of mobilellm as w8a8 in base or instruct or call"),
    ],
)
def test_refusals(arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *arguments, "--run", str(BOOKSHELF)]) == status
    assert says in capsys.readouterr().err
