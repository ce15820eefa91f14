"""The report: complete on a whole run, finished on a broken one, the same bytes each time, no outside reference."""

from __future__ import annotations

import csv
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import fake_run
import pytest
import yaml
from fake_run import run

from pocketlm.config import ConfigError
from pocketlm.report import inputs, page, statistics, svg, table, tables, trials, views
from pocketlm.stages import report

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """Collects what a browser would fetch, the heads of tables, ids, links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.open: list[str] = []
        self.images: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.fetched += [str(found[key]) for key in ("src", "srcset", "data", "poster") if key in found]
        self.fetched += [tag] if tag in ("link", "script", "iframe", "object", "image") else []
        self.ids |= {str(found["id"])} if "id" in found else set()
        self.links |= {str(found["href"])} if tag == "a" else set()
        if tag == "svg":
            self.images.append(str(found.get("aria-label", "")))
            assert found.get("role") == "img"
        if tag not in ("meta", "br", "line", "path", "circle", "rect", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle", "rect", "polygon"):
            assert self.open.pop() == tag


def test_page_is_self_contained_and_well_formed(made: Path) -> None:
    text = (made / "results/report/index.html").read_text(encoding="utf-8")
    found = Page(text)
    assert found.fetched == [] and "url(" not in text and "@import" not in text
    assert found.open == []
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids
    assert all(link.startswith(("#", "https://arxiv.org/abs/")) for link in found.links)
    assert len(found.images) >= 12 and all(len(name) > 20 for name in found.images)
    assert 'scope="col"' in text and 'scope="row"' in text and "<caption" in text


def test_page_shows_every_section(made: Path) -> None:
    text = (made / "results/report/index.html").read_text(encoding="utf-8")
    for piece in ("Pareto front", "Search trials", "Kendall", "Latency predictor", "Exactly right", "unseen phrasing"):
        assert piece in text
    for piece in (
        "paired over 1,750 items",
        "n = 1,500",
        "MobileLLM-125M",
        "PhoneLM-1.5B-Call",
        "13-gram",
        "Apache-2.0",
    ):
        assert piece in text
    assert fake_run.digest("world") in text and fake_run.digest("a0", "call") in text
    assert "llama.cpp has no gated ReLU" in text and "loss 9.1 at step 40" in text
    assert re.search(r"<figure class=\"chart\"><h3>[^<]*</h3><svg", text)
    assert 'class="absent"' not in text


def test_same_bytes_and_no_path(made: Path, monkeypatch) -> None:
    monkeypatch.chdir(made)
    names = [Path("results/report") / name for name in ("index.html", "table.csv", "metrics.json")]
    before = [name.read_bytes() for name in names]
    run(report, fake_run.arguments())
    assert [name.read_bytes() for name in names] == before
    assert str(made).encode() not in before[0] and b"20" + b"26-" not in before[0]


def test_tidy_table(made: Path) -> None:
    rows = table.load(made / "results/report/table.csv")
    scores = [r for r in rows if r["suite"] == "world"]
    original = [
        row for m in fake_run.MODELS for row in json.loads((made / f"results/scores/world/{m}.json").read_text())
    ]
    assert len(scores) == len(original)
    key = {(r["model"], r["phase"], r["scheme"], r["task"], r["metric"]): float(r["value"]) for r in scores}
    assert all(key[r["model"], r["phase"], r["scheme"], r["task"], r["metric"]] == r["value"] for r in original)
    assert {r["run"] for r in rows} == {"fake"}
    assert {r["metric"] for r in rows if r["suite"] == "size"} >= {"linear_bytes", "embedding_bytes"}


def test_summary_is_mean_of_points_above_chance(made: Path) -> None:
    summary = json.loads((made / "results/report/metrics.json").read_text())["models"]["a0"]
    with (made / "results/report/table.csv").open() as stream:
        rows = [r for r in csv.DictReader(stream) if (r["model"], r["phase"], r["metric"]) == ("a0", "base", "acc")]
    points = [100 * (float(r["value"]) - fake_run.TASKS[r["task"]]) for r in rows]
    assert len(points) == len(fake_run.TASKS)
    assert summary["points_above_chance_base"] == pytest.approx(sum(points) / len(points), abs=1e-3)
    assert summary["params"] == 812_000 and summary["bits_per_byte"] == pytest.approx(1.12)


def test_paired_difference_by_hand(made: Path, monkeypatch) -> None:
    from pocketlm.report import results

    monkeypatch.chdir(made)
    found = inputs.read_all(
        {"samples": ["results/scores/world/a0.samples.jsonl"], "scores": ["results/scores/world/a0.json"]}
    )
    from pocketlm import config

    view = views.build(config.load("params.yaml"), found)
    change = results.paired_change(view, ("a0", "call", "int4"), "choice")
    rows = [json.loads(line) for line in (made / "results/scores/world/a0.samples.jsonl").read_text().splitlines()]
    chosen = [r for r in rows if r["phase"] == "call" and r["metric"] == "acc"]
    by = {s: {(r["task"], r["item"]): r["value"] for r in chosen if r["scheme"] == s} for s in ("bf16", "int4")}
    gaps = [by["int4"][k] - by["bf16"][k] for k in by["bf16"]]
    mean = sum(gaps) / len(gaps)
    error = math.sqrt(sum((g - mean) ** 2 for g in gaps) / (len(gaps) - 1) / len(gaps))
    assert change is not None and change.n == len(gaps) == 1500
    assert (change.value, change.stderr) == (pytest.approx(mean), pytest.approx(error))


def test_finishes_with_missing_and_damaged_pieces(tmp_path: Path, monkeypatch, capsys) -> None:
    arguments = fake_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    for path in Path("results").rglob("*"):
        if path.is_file() and ("phonelm" in path.as_posix() or path.name in ("front.json", "models.json")):
            path.unlink()
    Path("results/models/a1/call.metrics.json").write_text("{not json")
    Path("results/models/a1/call.curve.csv").write_text("step,loss\n1,2.5\n2,no")
    Path("results/models/a1/instruct.curve.csv").write_bytes(b"step,loss\n1,\xff")
    samples = Path("results/scores/world/a1.samples.jsonl")
    samples.write_text(samples.read_text()[:-20])
    Path("results/scores/world/a0.samples.jsonl").write_text('{"item": 1}\n')
    run(report, arguments)
    text = Path("results/report/index.html").read_text()
    for name in ("models/a1/call.curve.csv", "models/a1/instruct.curve.csv", "scores/world/a0.samples.jsonl"):
        assert re.search(rf"results/{name}</strong>: damaged \(.*\); delete it and run snakemake again", text), name
    assert re.search(r"results/scores/world/a1.samples.jsonl: line \d+ is not JSON", text)
    assert "results/models/phonelm/base.metrics.json" in text and "results/scores/world/phonelm.json" in text
    assert "damaged JSON" in text and "No model was profiled." in text
    assert "missing: results/search/front.json" in capsys.readouterr().err
    assert "phonelm" not in json.loads(Path("results/report/metrics.json").read_text())["models"]


def test_partial_report_names_a_diverged_training(tmp_path: Path, monkeypatch) -> None:
    """After a failed run: the others' results, and step and batch of the loss that went wrong, from its log."""
    from pocketlm import config
    from pocketlm.engines.partial import partial_report
    from pocketlm.training.job import Diverged

    fake_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    for path in Path("results/models/a0").glob("call.*"):
        path.unlink()
    Path("results/logs").mkdir()
    line = str(Diverged("a0 call", 17, 0, 16, "its loss is nan"))
    Path("results/logs/call-a0.log").write_text(f"step 16 of 40\rpocketlm call a0: {line}\n")
    Path("results/logs/call-a1.log").write_text("step 40 of 40\n")
    said = partial_report(config.as_dict(config.load("params.yaml")))
    what = "diverged at step 17 (round 1, batch 16): its loss is nan; lower lr / muon_lr"
    assert f"missing: a0 call: {what}" in said and said.endswith("What there is: results/report/partial/index.html")
    text = Path("results/report/partial/index.html").read_text()
    assert what in text and "a0 base" not in said and "a1 call" not in said
    assert "a1" in json.loads(Path("results/report/partial/metrics.json").read_text())["models"]


def test_nothing_at_all(tmp_path: Path, monkeypatch) -> None:
    fake_run.params(tmp_path)
    monkeypatch.chdir(tmp_path)
    run(report, ["--out", "r.html", "--table", "t.csv", "--metrics-out", "m.json"])
    text = Path("r.html").read_text()
    assert "No model was trained in this run." in text and "mobilellm base" in text
    assert json.loads(Path("m.json").read_text()) == {"models": {}}


def test_hostile_text_is_escaped(made: Path, tmp_path: Path, monkeypatch) -> None:
    fake_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    data = yaml.safe_load(Path("params.yaml").read_text())
    data["report"]["title"] = "<script>alert(1)</script>"
    Path("params.yaml").write_text(yaml.safe_dump(data))
    run(report, fake_run.arguments())
    assert "<script" not in Path("results/report/index.html").read_text()


def test_published_tables() -> None:
    """Each table's own averages are those of its rows, so that a slip in copying shows."""
    papers = page.load_papers([str(path) for path in sorted((ROOT / "conf/papers").glob("*.yaml"))])
    assert [paper["name"] for paper in papers] == ["MobileLLM", "PanGu-π Pro", "PhoneLM"]
    for paper in papers:
        assert paper["trust"] in ("code", "readme", "fig", "paper-2nd", "unverified")
        for row in paper["models"]:
            assert sum(row["scores"]) / len(row["scores"]) == pytest.approx(row["average"], abs=0.06)


def test_paper_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match=r"x\.yaml: no such file; report\.papers names"):
        page.load_papers([str(path)])
    path.write_text("{name: X, tasks: {a: {label: A}}, models: [{name: M, scores: [1, 2]}]}")
    with pytest.raises(ConfigError, match="lacks the keys arxiv"):
        page.load_papers([str(path)])


def test_pareto_and_combine_by_hand() -> None:
    assert statistics.pareto([(1, 5), (2, 4), (3, 4), (2, 6), (4, 1)]) == [3, 2, 4]
    found = statistics.combine([(10.0, 3.0), (20.0, 4.0)])
    assert (found.value, found.stderr, found.n) == (15.0, 2.5, 2)


def test_agreement_text() -> None:
    assert "there are 1" in trials.agreement_text([("a", 1.0, 1.0)])
    text = trials.agreement_text([("a", 1.0, 2.0), ("b", 2.0, 3.0), ("c", 3.0, 2.5)])
    assert "τ = 0.33" in text and "ρ = 0.50" in text and "n = 3" in text and "not evidence" in text


def test_scale_ticks_and_numbers() -> None:
    scale = svg.Scale(0.0, 10.0, 0.0, 100.0)
    assert scale.ticks(5) == [0, 2, 4, 6, 8, 10] and scale(2.5) == 25.0
    log = svg.Scale(1.0, 100.0, 0.0, 100.0, True)
    assert log(10.0) == pytest.approx(50.0) and {1.0, 10.0, 100.0} <= set(log.ticks(6))
    assert svg.number(-0.04) == "0.0" and svg.tick_text(12000) == "12,000"
    assert tables.fixed(-0.04) == "0.0" and tables.fixed(-1.25, 2, plus=True) == "−1.25" and tables.fixed(None) == "–"
    assert [tables.count(v) for v in (12, 812_000, 1_020_000)] == ["12", "812 k", "1.02 M"]
    assert tables.listed(["a", "b", "c"]) == "a, b and c"


def test_one_constant_curve_is_drawn() -> None:
    plot = svg.Plot("t", "d").axes([1.0, 1.0], [2.0, 2.0])
    plot.line([(1.0, 2.0), (1.0, 2.0)], "c0")
    assert "nan" not in plot.svg()
