"""The commands ``vocabularies`` and ``sizes`` from their command lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from cut_bases import TEXTS
from whole_params import whole

from pocketlm import artifacts, cli

SHAPE = {"tokenizer": "full", "n_layers": 8, "d_model": 64, "n_heads": 2, "n_kv_heads": 2, "head_dim": 32, "d_ff": 192}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose tokenizer is made."""
    monkeypatch.chdir(tmp_path)
    texts = [f"{text} ({number})" for number in range(20) for text in TEXTS[:3]]
    Path("texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = {"kind": "path", "path": "texts.jsonl", "sha256": artifacts.sha256("texts.jsonl")}
    corpus = {"tokenizer": "full", "validation": 0.1, "parts": {"p": {"source": "texts"}}}
    params = {
        "search": {"enabled": False},
        "sources": {"texts": source},
        "tokenizers": {"full": {"vocab_size": 330, "corpora": ["text"]}},
        "corpora": {"text": corpus},
        "models": {"m": {"architecture": SHAPE, "base": "p", "instruct": None, "call": None}},
        "plans": {"p": {"corpus": "text", "seq_len": 16, "batch_size": 2}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(whole(params)))
    return tmp_path


def make() -> None:
    out = "results/data/texts --manifest results/data/texts.manifest.json"
    assert cli.main(f"download --entry texts --out {out}".split()) == 0
    line = "tokenizer --entry full --data results/data/texts.manifest.json --out results/tokenizers/full"
    assert cli.main(f"{line} --manifest results/tokenizers/full.manifest.json".split()) == 0


def test_vocabularies_prints_the_table_and_the_pick(
    run: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Coverage grows and is whole at the base's size; the pick is the largest line that keeps the rule; --run works."""
    make()
    monkeypatch.chdir("/")
    capsys.readouterr()
    assert cli.main(f"vocabularies full --model m --sizes 262 290 330 --run {run}".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["pieces", "coverage", "%", "embedding", "%", "M", "params", "rule"]
    rows = [line.split() for line in lines[1:4]]
    assert [row[0] for row in rows] == ["262", "290", "330"] and rows[2][1] == "100.00"
    assert float(rows[0][1]) < float(rows[1][1]) < 100 and float(rows[0][2]) < float(rows[2][2]) < 20
    kept = [row[0] for row in rows if float(row[1]) > 90]
    assert [row[4] for row in rows] == ["kept" if row[0] in kept else "-" for row in rows]
    assert lines[-1].endswith(f"Pick: {kept[-1]} pieces.")


def test_vocabularies_refuses(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "vocabularies full --model m --sizes 300": (1, "tokenizer.json: not made yet"),
        "vocabularies other --model m": (2, "no tokenizer 'other'; there are: full"),
        "vocabularies full --model other": (2, "no model 'other'; there are: m"),
        "vocabularies full --model m --corpora other": (2, "no corpus 'other'; give --corpora, of: text"),
    }
    for line, (status, said) in cases.items():
        assert cli.main(line.split()) == status, line
        assert said in capsys.readouterr().err
    make()
    assert cli.main(["vocabularies", "full", "--model", "m", "--sizes", "300", "200"]) == 2
    assert "vocabularies: --sizes: 200 is below 262" in capsys.readouterr().err


def test_vocabularies_without_a_size_that_keeps_the_rule(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make()
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["models"]["m"]["architecture"] |= {"n_layers": 1, "d_ff": 64}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    capsys.readouterr()
    assert cli.main(["vocabularies", "full", "--model", "m", "--sizes", "290", "330"]) == 0
    assert capsys.readouterr().out.endswith("No size keeps it.\n")


def test_sizes_prints_ours_beside_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sizes", "mobilellm_125m", "phonelm_1_5b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"shape +vocabulary +M params +published", lines[0])
    assert lines[2].split()[:4] == ["mobilellm_125m", "32,000", "124.64", "124.6"]
    assert lines[3].startswith("phonelm_1_5b") and lines[-2].startswith("Forward FLOPs at context 0")


def test_sizes_with_another_vocabulary(capsys: pytest.CaptureFixture[str]) -> None:
    """No published count is beside it, and a longer context costs more."""
    found = []
    for context in ("0", "2048"):
        assert cli.main(["sizes", "mobilellm_125m", "--vocabulary", "8000", "--context", context]) == 0
        found.append(capsys.readouterr().out.splitlines()[2].split())
    assert found[0][1] == "8,000" and found[0][3:5] == ["–", "–"]
    assert found[0][2] == found[1][2] and float(found[0][6]) < float(found[1][6])


def test_sizes_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sizes", "other"]) == 2
    assert "sizes: other: no such shape; there are: " in capsys.readouterr().err
    assert cli.main(["sizes", "mobilellm_mini"]) == 2
    assert "mobilellm_mini: no published vocabulary; give it: --vocabulary N" in capsys.readouterr().err
