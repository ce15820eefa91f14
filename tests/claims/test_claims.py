"""Claims: paired differences against SciPy, signs by hand, table and figure of what was compared, the recipe's arms."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from scipy import stats

from pocketlm.artifacts import ArtifactError, read_json, write_json, write_text
from pocketlm.claims import compare as comparing
from pocketlm.claims.compare import compare, paired, verdict
from pocketlm.claims.table import render
from pocketlm.cli import main
from pocketlm.compose import compose
from pocketlm.config import ConfigError, parse
from pocketlm.engines import graph

BASE: dict[str, Any] = {
    "claim": "gated", "paper": "MobileLLM", "section": "road map", "statement": "gated", "effect": 1.3,
    "unit": "points", "better": True, "a": ["p0", "p1", "p2"], "b": ["g0", "g1", "g2"], "metric": "bits_per_byte",
    "suite": None, "profile": None, "note": "",
}  # fmt: skip
LOSSES = {"p0": 0.31, "p1": 0.33, "p2": 0.30, "g0": 0.29, "g1": 0.315, "g2": 0.281}
METRICS = {name: {"val_bits_per_byte": value, "params": 1000} for name, value in LOSSES.items()}


def test_paired_difference_is_scipys() -> None:
    a, b = [LOSSES[f"p{seed}"] for seed in range(3)], [LOSSES[f"g{seed}"] for seed in range(3)]
    found, ours = stats.ttest_rel(b, a), paired(a, b)
    interval = found.confidence_interval(0.95)
    assert ours["difference"] == pytest.approx((interval.low + interval.high) / 2, abs=1e-6)
    assert ours["half_interval"] == pytest.approx((interval.high - interval.low) / 2, abs=2e-5)
    assert ours["stderr"] == pytest.approx(ours["difference"] / found.statistic, abs=1e-6)


@pytest.mark.parametrize("n", [*range(2, 35), 100, 10_000])
def test_interval_is_students_whatever_the_number_of_pairs(n: int) -> None:
    """Of three digits up to 31 pairs; beyond them never too narrow, and at most 4% too wide."""
    ratio = comparing.student(n) / stats.t.ppf(0.975, n - 1)
    assert ratio == pytest.approx(1, abs=3e-4) if n <= 31 else 1 <= ratio < 1.045
    differences = [0.5 * (-1) ** i for i in range(n)]
    ours = paired([0.0] * n, differences)
    assert ours["half_interval"] == pytest.approx(comparing.student(n) * ours["stderr"], abs=1e-5)


def test_fewer_bits_are_a_gain() -> None:
    """b saves 0.02, 0.015 and 0.019 bits: 0.018 in the mean."""
    result = compare(BASE, METRICS, [], [])
    assert result["gain"] == pytest.approx(0.018, abs=1e-9) and result["verdict"] == "same sign"
    turned = compare({**BASE, "better": False}, METRICS, [], [])
    assert turned["gain"] == result["gain"] and turned["verdict"] == "other sign"


@pytest.mark.parametrize(
    "gain, half, better, word",
    [
        (0.02, 0.01, True, "same sign"),
        (-0.02, 0.01, True, "other sign"),
        (-0.02, 0.01, False, "same sign"),
        (0.02, 0.03, True, "not resolved"),
        (0.02, None, True, "not resolved"),
    ],
)
def test_verdict(gain: float, half: float | None, better: bool, word: str) -> None:
    assert verdict(gain, half, better) == word


def test_accuracy_is_the_mean_over_choice_tasks() -> None:
    """By hand; other phases, schemes, metrics and tasks without a chance level do not count."""
    row = {"model": "p0", "phase": "base", "scheme": "bf16", "metric": "acc", "chance": 0.25, "value": 0.5}
    others = [{"phase": "call"}, {"scheme": "int4"}, {"metric": "acc_norm"}, {"chance": None}, {"model": "x"}]
    rows = [row, {**row, "value": 0.75}, *({**row, "value": 0.0, **change} for change in others)]
    assert comparing.accuracy(rows, ["p0"]) == [62.5]
    with pytest.raises(ArtifactError, match="p1: no accuracy"):
        comparing.accuracy(rows, ["p1"])


def test_speed_is_a_ratio_with_the_spread_of_the_repeats() -> None:
    def fact(model: str, rate: float, iqr: float) -> dict[str, Any]:
        shallow = {"depth": 0, "tok_s": 1e9, "ms_median": 1.0, "ms_iqr": 0.0}
        deep = {"depth": 96, "tok_s": rate, "ms_median": 10.0, "ms_iqr": iqr}
        return {"model": model, "runtime": "torch", "decode": [shallow, deep], "prefill": []}

    claim = {**BASE, "metric": "decode_tok_s", "a": ["slow"], "b": ["fast"]}
    result = compare(claim, {}, [], [fact("slow", 100.0, 0.6), fact("fast", 150.0, 0.8)])
    assert result["gain"] == 0.5 and result["verdict"] == "same sign"
    assert result["main"]["stderr"] == pytest.approx(1.5 * math.hypot(0.06, 0.08))
    table = render([result])
    assert "1.50 × ± 0.15" in table and "± is the interquartile range of its repeats" in table


def test_a_diverged_arm_is_named() -> None:
    with pytest.raises(ArtifactError, match="g1: no bits per byte; its training diverged"):
        compare(BASE, METRICS | {"g1": {"val_bits_per_byte": None}}, [], [])


def test_stage_table_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From files to a table whose numbers are those of the losses, and a figure whose marks lie where they mean."""
    monkeypatch.chdir(tmp_path)
    write_text("params.yaml", composed())
    for seed in range(3):
        for arm, bits in (("deep", 0.30), ("plain", 0.32 + 0.001 * seed), ("shared", 0.31 + 0.001 * seed)):
            write_json(f"m/{arm}_s{seed}/base.metrics.json", {"val_bits_per_byte": bits, "params": 430_000})
            scored = {"model": f"{arm}_s{seed}", "phase": "base", "scheme": "bf16", "metric": "acc", "chance": 0.25}
            write_json(f"s/{arm}_s{seed}.json", [{**scored, "value": 0.4 if arm == "deep" else 0.3}])
    for claim, arms in (("gated_ffn", ("plain", "deep")), ("block_sharing", ("deep", "shared"))):
        models = [f"{arm}_s{seed}" for arm in arms for seed in range(3)]
        files = ["--metrics", *(f"m/{model}/base.metrics.json" for model in models)]
        files += ["--scores", *(f"s/{model}.json" for model in models)]
        assert main(["claim", "--entry", claim, *files, "--out", f"{claim}.json"]) == 0
    assert (
        main(["claims", "--claims", "gated_ffn.json", "block_sharing.json", "--table", "t.md", "--figure", "f.svg"])
        == 0
    )
    assert read_json("gated_ffn.json")["gain"] == pytest.approx(0.021)
    _, _, gated, shared, *_ = Path("t.md").read_text().splitlines()
    assert "+0.0210 ± 0.0006 | +10.0 ± 0.0 | same sign | 430 k / 430 k |" in gated
    assert "−0.0110 ± 0.0006 | −10.0 ± 0.0 | other sign |" in shared
    marks = [float(node.attrib["cx"]) for node in ElementTree.parse("f.svg").iter() if node.tag.endswith("circle")]
    zero = next(n for n in ElementTree.parse("f.svg").iter() if n.attrib.get("class") == "zero")
    assert marks[0] > float(zero.attrib["x1"]) > marks[1]
    assert (marks[0] - float(zero.attrib["x1"])) / (float(zero.attrib["x1"]) - marks[1]) == pytest.approx(
        21 / 11, rel=0.02
    )


@functools.cache
def composed() -> str:
    return compose("claims", [])[0]


def params() -> dict[str, Any]:
    data: dict[str, Any] = yaml.load(composed(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return data


def test_arms_are_shared_and_a_claim_needs_its_own_only() -> None:
    data = params()
    assert {data["models"][f"deep_s{seed}"]["seed"] for seed in range(3)} == {0, 1, 2}
    wanted = graph.claims.claim_metrics(data, "gated_ffn")
    arms = [f"results/models/{arm}_s{seed}/base.metrics.json" for arm in ("plain", "deep") for seed in range(3)]
    assert wanted == arms
    assert graph.claims.claim_metrics(data, "wide_speed") == []  # a speed needs no training
    assert graph.claims.claim_facts(data, "wide_speed") == ["results/facts/local/speed.json"]
    shared = sum("deep_s0" in entry["a"] + entry["b"] for entry in data["claims"].values())
    assert shared >= 8


@pytest.mark.parametrize(
    "claim, within",
    [("gated_ffn", 0.005), ("deep_thin", 0.005), ("gqa_width", 0.005), ("compact_tokenizer", 0.005),
     ("two_rounds", 0), ("block_sharing", 0), ("inheritance", 0), ("tied_deeper", 0.01)],
)  # fmt: skip
def test_sides_that_claim_equal_parameters_have_them(claim: str, within: float) -> None:
    """Within half a percent, but for the tied arm with its ninth block: 0.8% fewer, by the claim's own note."""
    from pocketlm.model import counts

    found = parse(params())
    sizes = []
    for name in (found.claims[claim].a[0], found.claims[claim].b[0]):
        arch = found.models[name].architecture
        sizes.append(counts.params(arch, found.tokenizers[arch.tokenizer].vocab_size))
    assert abs(sizes[1] / sizes[0] - 1) <= within


def test_a_source_reads_its_text_in_an_order_of_its_own() -> None:
    """A source with an arm's seed would show that arm the batches that it has read itself, in the same order."""
    data = params()
    sources = {model["inherit"]["model"] for model in data["models"].values() if model["inherit"]}
    assert sources == {"large"}
    arms = {model["seed"] for name, model in data["models"].items() if name not in sources}
    assert data["models"]["large"]["seed"] not in arms


def test_both_sides_of_a_claim_train_alike() -> None:
    """All arms have one plan; the compact one differs in the corpus, the one of two rounds in its rounds."""
    data = params()
    plans = {name.rpartition("_s")[0]: model["base"] for name, model in data["models"].items() if name != "large"}
    others = {arm: plan for arm, plan in plans.items() if plan != "ablation"}
    assert others == {"compact": "compact", "rounds": "rounds"}
    for plan, own in (("compact", {"corpus"}), ("rounds", {"rounds", "round_share"})):
        values, common = data["plans"][plan], data["plans"]["ablation"]
        assert {key for key in values.keys() | common.keys() if values[key] != common[key]} - own == set(), plan
    texts = [dict(data["corpora"][data["plans"][plan]["corpus"]], tokenizer="") for plan in ("compact", "ablation")]
    assert texts[0] == texts[1]


def test_every_claim_says_what_differs_from_the_paper() -> None:
    assert [name for name, claim in params()["claims"].items() if not claim["note"].strip()] == []


@pytest.mark.parametrize(
    "key, value, message",
    [
        (
            "b",
            ["deep_s0", "deep_s2", "deep_s1"],
            r"claims.gated_ffn.b: seeds \[0, 2, 1\] are not those of a, \[0, 1, 2\]",
        ),
        ("a", ["nothing"], "claims.gated_ffn.a: no model 'nothing'"),
        ("suite", "nothing", "claims.gated_ffn.suite: no suite 'nothing'"),
        ("metric", "speed", "none of: bits_per_byte"),
        ("metric", "decode_tok_s", "claims.gated_ffn.profile: no profile None"),
    ],
)
def test_impossible_claims_are_refused(key: str, value: Any, message: str) -> None:
    data = params()
    data["claims"]["gated_ffn"][key] = value
    with pytest.raises(ConfigError, match=message):
        parse(data)
