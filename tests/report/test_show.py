"""``pocketlm show`` and ``diff``: results in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fake_run import run

from pocketlm.artifacts import ArtifactError
from pocketlm.report import diff, show, table
from pocketlm.stages import diff as diff_stage
from pocketlm.stages import show as show_stage


def test_show_takes_the_pinned_metric() -> None:
    about = {"model": "m", "phase": "base", "scheme": "bf16", "suite": "s", "task": "arc", "stderr": 0}
    rows = [{**about, "metric": "acc", "value": 0.2}, {**about, "metric": "acc_norm", "value": 0.3}]
    assert show.grid(rows, None, {("s", "arc"): "acc_norm"})[1][-1] == "30.0"
    assert show.grid(rows, "acc", {("s", "arc"): "acc_norm"})[1][-1] == "20.0"
    assert show.grid(rows)[1][-1] == "20.0"


def test_show(made: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(made)
    run(show_stage, [])
    lines = capsys.readouterr().out.splitlines()
    first = next(line for line in lines if line.startswith("a0"))
    value = next(
        r
        for r in table.load("results/report/table.csv")
        if (r["task"], r["metric"], r["model"], r["phase"]) == ("piqa", "acc", "a0", "base")
    )
    assert f"{100 * float(value['value']):.1f}" in first
    run(show_stage, ["--model", "a1", "--phase", "call", "--csv"])
    shown = capsys.readouterr().out
    assert "a1" in shown and "a0" not in shown
    with pytest.raises(ArtifactError, match="no row is of model"):
        run(show_stage, ["--model", "nobody"])
    monkeypatch.chdir(made.parent)
    with pytest.raises(ArtifactError, match="the report writes it"):
        run(show_stage, [])


def test_draw_breaks_wide_tables() -> None:
    text = show.draw([["m", "p", "s", "x" * 30, "y" * 30], ["a", "b", "c", "1", "2"]], 50)
    assert max(map(len, text.splitlines())) <= 50 and text.count("m  p  s") == 2


def test_diff(made: Path, tmp_path: Path, capsys) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(made, other)
    data = yaml.safe_load((other / "params.yaml").read_text())
    data["models"]["a0"]["seed"] = 7
    (other / "params.yaml").write_text(yaml.safe_dump(data))
    path = other / "results/report/table.csv"
    path.write_text(
        path.read_text().replace("world,world_calls,exact_match,0.784", "world,world_calls,exact_match,0.8", 1)
    )
    manifest = other / "results/models/a0/base.manifest.json"
    manifest.write_text(manifest.read_text().replace('"00"', '"01"'))
    assert [c.name for c in diff.parameters(made, other)] == ["models.a0.seed"]
    assert [c.name.split()[-1] for c in diff.scores(made, other)] == ["exact_match"]
    changed, same = diff.bytes_changed(made, other)
    assert [c.name for c in changed] == ["results/models/a0/base/model.safetensors"] and same > 40
    run(diff_stage, [str(made), str(other)])
    out = capsys.readouterr().out
    assert "models.a0.seed: 0 -> 7" in out and "standard errors" in out
    with pytest.raises(ArtifactError, match="no such file; a run folder"):
        diff.parameters(made, tmp_path)
