"""``pocketlm compare``: published tables add up, ours stands beside them, and no difference is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pocketlm.cli import main
from pocketlm.config import ConfigError, Task
from pocketlm.report.beside import further, grid, own_calls, task_differences, text
from pocketlm.report.page import PAPERS, check_table, load_papers

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


def further_tables(name: str) -> dict[str, dict[str, Any]]:
    """{label: a further table} of a paper, as its file has them."""
    data = yaml.safe_load((PAPERS / f"{name}.yaml").read_text())
    return {table["label"]: table for table in [*([data["calls"]] if "calls" in data else []), *data["tables"]]}


def rows_of(name: str, start: str) -> dict[str, list[Any]]:
    """{row: cells} of the table whose label starts so."""
    found = next(table for label, table in further_tables(name).items() if label.startswith(start))
    return {row["name"]: row["cells"] for row in found["rows"]}


def main_averages(name: str) -> dict[str, float]:
    """{model: average} of the paper's main table."""
    return {row["name"]: row["average"] for row in yaml.safe_load((PAPERS / f"{name}.yaml").read_text())["models"]}


@pytest.mark.parametrize("name, count", [("mobilellm", 12), ("pangu_pi_pro", 7), ("phonelm", 3)])
def test_every_further_table_has_source_trust_and_whole_rows(name: str, count: int) -> None:
    tables = further_tables(name)
    assert len(tables) == count
    for label, table in tables.items():
        assert table["source"], label
        assert table["trust"] in {"code", "readme", "fig", "paper-2nd", "press", "unverified"}, label
        assert {len(row["cells"]) for row in table["rows"]} == {len(table["columns"])}, label
        assert all(cell is None or isinstance(cell, (int, float)) for row in table["rows"] for cell in row["cells"])


def test_road_map_of_mobilellm_is_that_of_its_other_tables() -> None:
    """The same models stand in several tables: levels and steps, shapes, embeddings, quantization, main."""
    road = list(rows_of("mobilellm", "Road map").values())
    steps = [round(after[0] - before[0], 1) for before, after in zip(road, road[1:], strict=False)]
    assert steps == [1.3, 0.9, -0.2, 0.4, 1.1, 0.2, 0.7]
    gated, deep, tied, grouped = (row[2] for row in road[1:5])
    assert road[0][1] + gated + deep == pytest.approx(road[2][1])
    assert road[2][1] + tied + grouped == pytest.approx(road[4][1])
    shapes = {row: cells[0] for row, cells in rows_of("mobilellm", "Depth").items()}
    assert [shapes["125M, 12 x 768"], shapes["125M, 30 x 512"]] == [road[1][0], road[2][0]]
    assert [shapes["350M, 15 x 1280"], shapes["350M, 32 x 896"]] == [round(road[0][1] + gated, 1), road[2][1]]
    separate, shared, deeper = rows_of("mobilellm", "Input and").values()
    assert [separate[1], shared[1], deeper[1]] == [road[2][0], road[3][0], road[4][0]]
    assert separate[0] - shared[0] == round(32_000 * 512 / 1e6)  # one embedding of 30 x 512
    assert [cells[0] for cells in rows_of("mobilellm", "Quantized").values()] == [road[4][1], road[5][1]]
    means = main_averages("mobilellm")
    assert road[6][:2] == [means["MobileLLM-125M"], means["MobileLLM-350M"]]
    assert road[7][:2] == [means["MobileLLM-LS-125M"], means["MobileLLM-LS-350M"]]


def test_what_mobilellm_says_of_its_tables() -> None:
    """Gains, gaps and ratios that the text gives beside them."""
    immediate, again = rows_of("mobilellm", "Strategies").values()
    assert (immediate, again) == ([45.0, 50.2], [45.2, 50.7])
    assert [round(row[0] - 44.6, 1) for row in (immediate, again)] == [0.4, 0.6]  # gains over the shared embedding
    assert max(before - after for before, after in rows_of("mobilellm", "Quantized").values()) == pytest.approx(0.4)
    plain, distilled = rows_of("mobilellm", "Distillation").values()
    assert [round(distilled[i] / plain[i], 1) for i in (1, 3)] == [3.2, 2.6]
    assert [round(distilled[i] - plain[i], 1) for i in (0, 2)] == [-0.1, -0.3]
    once, twice, sixty = rows_of("mobilellm", "iPhone 13").values()
    starts = [100 * (sum(row[:2]) / sum(once[:2]) - 1) for row in (twice, sixty)]
    runs = [100 * (row[2] / once[2] - 1) for row in (twice, sixty)]
    assert starts == [pytest.approx(2.2, abs=0.05), pytest.approx(143, abs=1)]
    assert runs == [pytest.approx(2.6, abs=0.05), pytest.approx(86, abs=0.5)]


def test_pangu_pi_pro_ends_where_its_main_table_does() -> None:
    means = main_averages("pangu_pi_pro")
    steps = [cells[0] for cells in rows_of("pangu_pi_pro", "Improvements").values()]
    assert (steps[0], steps[-1]) == (means["PanGu-π-1B"], means["PanGu-π-1B Pro"]) == (42.41, 51.28)
    assert [round(b - a, 2) for a, b in zip(steps, steps[1:], strict=False)] == [1.70, 2.42, 3.26, 1.49]
    (_, before), (covered, after) = rows_of("pangu_pi_pro", "Tokenizer").values()
    assert covered > 90 and after < 20 < before  # the paper's rule
    depth, width = rows_of("pangu_pi_pro", "Shape").values()
    assert depth == [-width[0]]


@pytest.mark.parametrize(
    "claim, paper, table, rows",
    [
        ("gated_ffn", "mobilellm", "Road map", ("FC-ReLU-FC", "+ SwiGLU")),
        ("deep_thin", "mobilellm", "Depth", ("125M, 4 x 1280", "125M, 30 x 512")),
        ("tied", "mobilellm", "Road map", ("+ deep and thin", "+ shared embedding")),
        ("gqa_width", "mobilellm", "Road map", ("+ shared embedding", "+ grouped queries, wider")),
        ("block_sharing", "mobilellm", "Road map", ("+ grouped queries, wider", "+ shared layers")),
        ("compact_tokenizer", "pangu_pi_pro", "Improvements", ("PanGu-π-1B", "+ compact tokenizer")),
        ("inheritance", "pangu_pi_pro", "Improvements", ("+ architecture", "+ inheritance")),
        ("two_rounds", "pangu_pi_pro", "Rounds", ("1 round", "2 rounds")),
        ("series_activation", "pangu_pi_pro", "Series", ("neither", "series, n = 2")),
        ("shortcuts", "pangu_pi_pro", "Series", ("neither", "shortcut, 1/32")),
    ],
)
def test_effects_of_the_claims_are_differences_of_these_tables(
    claim: str, paper: str, table: str, rows: tuple[str, str]
) -> None:
    """``conf/claims`` was copied apart from these tables."""
    effect = yaml.safe_load((PAPERS.parent / "claims/mini.yaml").read_text())["claims"][claim]["effect"]
    before, after = (rows_of(paper, table)[row][0] for row in rows)
    assert after - before == pytest.approx(effect, abs=0.051)


TABLE: dict[str, Any] = {
    **{"label": "T", "source": "S", "trust": "press", "metric": "F1", "shots": None, "columns": ["a", "b"]},
    "rows": [{"name": "x", "own": True, "cells": [48.2, None]}, {"name": "y", "cells": [47.08, 9]}],
}


def test_a_further_table_as_text() -> None:
    """Decimals are those of the column, a missing number is a dash, and ours stands in a column of its own."""
    lines = further(TABLE).splitlines()
    assert lines[:2] == ["T; S; trust: press", ""] and lines[-1] == "Metric: F1. Shots: not stated."
    assert lines[4:6] == ["x*  48.20  –", "y   47.08  9"]
    row = {"model": "m", "phase": "call", "scheme": "bf16", "metric": "exact_match", "value": "0.5", "stderr": "0.01"}
    ours = own_calls([row], "m", "bf16")
    assert further(TABLE, ours).splitlines()[4] == "m call bf16      –  –  50.0 ± 1.0"
    assert own_calls([row], "m", "int8") is None


@pytest.mark.parametrize(
    "change, says",
    [
        ({"trust": "hearsay"}, "a.yaml, T: trust is 'hearsay'; known are code"),
        ({"columns": ["a"]}, "a.yaml, T: lacks a cell for each column of x, y"),
    ],
)
def test_a_wrong_further_table_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_table("a.yaml", {**TABLE, **change})
    with pytest.raises(ConfigError, match=r"a\.yaml, T: lacks the keys source"):
        check_table("a.yaml", {key: value for key, value in TABLE.items() if key != "source"})


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


@pytest.mark.parametrize("name", NAMES)
def test_command_prints_the_further_tables(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the comparison, each with source and trust; ours beside the calls alone."""
    assert main(["compare", "mobilellm", "--run", str(BOOKSHELF), "--paper", name]) == 0
    main_part, _, out = capsys.readouterr().out.partition("\n\nAlso published\n\n")
    tables = further_tables(name)
    assert "Note: " in main_part and out.count("; trust: ") == len(tables)
    assert all(f"{t['label']}; {t['source']}; trust: {t['trust']}\n" in out for t in tables.values())
    assert all(row["name"] in out for table in tables.values() for row in table["rows"])
    assert out.count("mobilellm call bf16") == (name != "pangu_pi_pro")


def test_printed_numbers_are_the_published(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", "mobilellm", "--run", str(BOOKSHELF), "--paper", "mobilellm"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"MobileLLM-LS-350M* 3.16 48.20", "+ SwiGLU 43.9 – 1.3", "distilled 43.8 93 48.8 109"} <= set(lines)


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
