"""What counts as identical, within tolerance or different, and as the same kind of machine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stub import ROOT

from pocketlm.engines import certificate, environment, verdict
from pocketlm.engines.dag import Job


@pytest.mark.full
@pytest.mark.parametrize(
    "name, value, library",
    [("ATEN_CPU_CAPABILITY", "default", "torch"), ("ONEDNN_MAX_CPU_ISA", "SSE41", "onednn"),
     ("MKL_CBWR", "COMPATIBLE", "mkl_reproducibility")],
)  # fmt: skip
def test_instruction_set_is_the_one_in_use(name: str, value: str, library: str) -> None:
    """Not what the processor has: a restricted library is another kind of machine."""
    code = "import json; from pocketlm.engines.instructions import effective; print(json.dumps(effective()))"
    free = {key: text for key, text in os.environ.items() if key != name}
    found = []
    for more in ({}, {name: value}):
        done = subprocess.run([sys.executable, "-c", code], env=free | more, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    changed = {key for key in found[0] if found[0][key] != found[1][key]}
    assert library in changed <= {library, "mkl"} and found[1]["torch"]  # Intel's MKL names both
    kinds = [{"instructions": words} for words in found]
    assert not environment.same_kind(*kinds) and environment.same_kind(kinds[0], kinds[0])


def test_scores_within_three_errors_losses_within_a_fiftieth() -> None:
    """Against the definition by hand."""
    wanted = {"base/acc value": 0.5, "base/acc stderr": 0.03, "val_loss": 2.0, "params": 10.0}
    near = {"base/acc value": 0.42, "base/acc stderr": 0.05, "val_loss": 2.03, "params": 10.0}
    assert certificate.outside(wanted, near) == []
    far = {"base/acc value": 0.40, "base/acc stderr": 0.03, "val_loss": 2.05, "params": 11.0}
    assert [line.partition(":")[0] for line in certificate.outside(wanted, far)] == [
        "base/acc value",
        "params",
        "val_loss",
    ]
    assert certificate.outside({"a": 1.0}, {}) == ["a: missing"]


def test_stage_that_was_not_made_is_different(tmp_path: Path) -> None:
    """A failed or interrupted rerun is compared too: what is missing is said, its values among it."""
    path = "results/models/a0/base.metrics.json"
    job = Job("pretrain-a0", "pretrain", (), (path,), frozenset(), (), "", True, "")
    proof = {"artefacts": {path: "0" * 64}, "values": {path: {"val_loss": 2.0}}}
    findings = verdict.compare(tmp_path, [job], {job.name}, proof, same=True)
    assert [(f.path, f.verdict, f.why) for f in findings] == [(path, "different", "was not made")]


def test_other_bytes_need_something_to_be_judged_by(tmp_path: Path) -> None:
    """train -> quantize -> score -> report, on another kind of machine: all bytes differ, the loss by 1%.

    Without a value that was made again nothing was compared, and other bytes are not called within tolerance.
    """
    paths = {"train": "a.metrics.json", "quantize": "a.gguf", "score": "results/scores/a.json", "report": "a.html"}
    chain = [("train", ()), ("quantize", ("train",)), ("score", ("quantize",)), ("report", ("score",))]
    jobs = [
        Job(name, name, tuple(paths[other] for other in before), (paths[name],), frozenset(), (), "", True, "")
        for name, before in chain
    ]
    (tmp_path / "results/scores").mkdir(parents=True)
    for path in paths.values():
        (tmp_path / path).write_text('{"loss": 2.02}')
    proof = {
        "artefacts": dict.fromkeys(paths.values(), "0" * 64),
        "values": {paths[name]: {"loss": 2.0} for name in ("train", "score")},
    }

    def judged(*names: str) -> list[str]:
        found = verdict.compare(tmp_path, jobs, set(names), proof, same=False)
        return [finding.verdict for finding in found if finding.job in names]

    assert judged("train", "quantize", "score", "report") == ["within tolerance"] * 4
    assert judged("quantize") == judged("report") == ["different"]
    assert judged("quantize", "score") == judged("score", "report") == ["within tolerance"] * 2
    assert judged("train", "report") == ["within tolerance", "different"]  # the kept score tells nothing of a page
    (tmp_path / paths["score"]).write_text('{"loss": 2.2}')
    assert judged("train", "quantize", "score", "report") == ["different"] * 4
    found = verdict.compare(tmp_path, jobs, {"quantize"}, proof, same=False)
    assert [finding.verdict for finding in found if finding.job != "quantize"] == ["kept, not made again"] * 3


def test_facts_within_a_quarter(tmp_path: Path) -> None:
    """Measured again: the median of what differs, against the definition by hand; a constant is no measurement."""
    job = Job("profile", "profile", (), ("facts.json",), frozenset(), (), "", True, "")
    wanted = {"layers": 4, "seconds": [1.0, 2.0, 4.0]}
    for seconds, want in (([1.2, 2.2, 8.0], "fact, within tolerance"), ([1.3, 2.6, 4.1], "different")):
        (tmp_path / "facts.json").write_text(json.dumps({"layers": 4, "seconds": seconds}))
        (found,) = verdict.compare(tmp_path, [job], {"profile"}, {"facts": {"facts.json": wanted}, "values": {}}, True)
        assert found.verdict == want
    assert found.why == "measured again: 30% off, the median of 3 numbers"
    (tmp_path / "facts.json").write_text('{"layers": 4}')
    (found,) = verdict.compare(tmp_path, [job], {"profile"}, {"facts": {"facts.json": wanted}, "values": {}}, True)
    assert (found.verdict, found.why) == ("different", "measured again: seconds[0] is missing")


def test_gpu_is_named_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models of it are two kinds of machine; where it is not used it is not asked for."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    kinds = []
    for model in ("NVIDIA H200", "NVIDIA A100"):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda number, model=model: model)
        kinds.append(environment.describe({"device": "cuda"}))
    assert [kind["gpu"] for kind in kinds] == [["NVIDIA H200"], ["NVIDIA A100"]]
    assert not environment.same_kind(*kinds)
    assert "gpu ['NVIDIA H200'] -> ['NVIDIA A100']" in environment.differences(*kinds)
    assert "gpu" not in environment.describe({"device": "cpu"})


def test_exact_rules_are_rules() -> None:
    """Every rule for data is among them, sharded or not; the Snakefile has the names."""
    text = {path.stem: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}
    rules = {name: set(re.findall(r"^ *rule (\w+):", rules, re.MULTILINE)) for name, rules in text.items()}
    assert rules["data"] | {"propose"} == verdict.EXACT_RULES
    assert verdict.EXACT_RULES <= set.union(*rules.values()) >= certificate.FACT_RULES
