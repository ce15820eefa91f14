"""The stages download, tokenizer and tokenize on a small run, from their command lines; bytes made twice are equal."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_texts import TEXTS
from whole_params import whole

from pocketlm import artifacts, cli
from pocketlm.config import Part
from pocketlm.data.contamination import words
from pocketlm.data.segments import shard_documents

TASK = [{"query": TEXTS[0], "choices": ["yes", "no"], "gold": 0}, {"query": "Short?", "choices": ["a", "b"], "gold": 1}]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("texts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    Path("task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TASK))
    sources = {
        n: {"kind": "path", "path": f"{n}.jsonl", "sha256": artifacts.sha256(f"{n}.jsonl")} for n in ("texts", "task")
    }
    corpus = {"tokenizer": "t", "validation": 0.1, "parts": {"p": {"source": "texts"}}, "decontaminate": ["s"]}
    params = {
        "search": {"enabled": False},
        "sources": sources,
        "tokenizers": {"t": {"vocab_size": 300, "corpora": ["c"]}},
        "corpora": {"c": corpus},
        "suites": {"s": {"tasks": {"one": {"source": "task", "file": "task.jsonl"}}}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(whole(params)))
    return tmp_path


def pocketlm(line: str) -> int:
    return cli.main(line.split())


def chain(root: str) -> None:
    for name in ("texts", "task"):
        assert pocketlm(f"download --entry {name} --out {root}/{name} --manifest {root}/{name}.manifest.json") == 0
    data = f"--data {root}/texts.manifest.json {root}/task.manifest.json"
    assert pocketlm(f"tokenizer --entry t {data} --out {root}/t --manifest {root}/t.manifest.json") == 0
    line = f"tokenize --entry c {data} --tokenizer {root}/t.manifest.json --out {root}/c"
    assert pocketlm(f"{line} --manifest {root}/c.manifest.json --contamination {root}/c.json") == 0


def test_twice_the_same_bytes(run: Path) -> None:
    chain("one")
    chain("two")
    assert artifacts.members("one") == artifacts.members("two")
    report = artifacts.read_json("one/c.json")["s/one"]
    assert (report["items"], report["too_short"], report["overlapping"]) == (2, 1, 1)
    assert str(run) not in "".join(p.read_text(errors="ignore") for p in Path("one").rglob("*.json"))


def test_changed_input_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain("one")
    Path("one/texts/texts.jsonl").write_text('{"text": "changed"}\n')
    shutil.rmtree("one/t")
    line = "tokenizer --entry t --data one/texts.manifest.json --out one/t --manifest one/t.manifest.json"
    assert pocketlm(line) != 0
    assert "changed since it was made" in capsys.readouterr().err
    assert not Path("one/t").exists()


def test_corpus_smaller_than_a_batch(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["plans"] = {"big": {"corpus": "c", "seq_len": 256, "batch_size": 512}}
    Path("params.yaml").write_text(yaml.safe_dump(whole(params)))
    with pytest.raises(AssertionError):
        chain("one")
    assert "corpus c is too small for plans.big" in capsys.readouterr().err
    assert not Path("one/c").exists()


def test_unknown_entry(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pocketlm("download --entry other --out x --manifest x.manifest.json") != 0
    assert "sources.other: no such source; there are task, texts" in capsys.readouterr().err


def shard_params(shards: int) -> None:
    """Another number of shards, a second part that cannot be cut by lines, one with a limit."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    corpus = params["corpora"]["c"]
    corpus["shards"] = shards
    corpus["parts"] |= {"raw": {"source": "texts", "reader": "raw"}, "few": {"source": "texts", "limit": 40}}
    Path("params.yaml").write_text(yaml.safe_dump(whole(params)))


@pytest.mark.parametrize("shards", [2, 3, 50])
def test_shards_join_to_the_same_bytes(run: Path, shards: int) -> None:
    """However many jobs encode a corpus: the folder, its manifest and the contamination table of one job."""
    shard_params(1)
    chain("one")
    shard_params(shards)
    data = "--data one/texts.manifest.json one/task.manifest.json --tokenizer one/t.manifest.json"
    manifests = [f"s/c-{number}.manifest.json" for number in range(shards)]
    for number, manifest in reversed(list(enumerate(manifests))):
        assert (
            pocketlm(f"tokenize-shard --entry c --shard {number} {data} --out s/c-{number} --manifest {manifest}") == 0
        )
    line = f"tokenize-join --entry c --shards {' '.join(manifests)} --tokenizer one/t.manifest.json --out s/c"
    assert pocketlm(f"{line} --manifest s/c.manifest.json --contamination s/c.json") == 0
    assert artifacts.members("one/c") == artifacts.members("s/c")
    for name in ("c.json", "c.manifest.json"):
        assert Path("one", name).read_bytes() == Path("s", name).read_bytes()
    sizes = [Path(f"s/c-{number}/train.p.bin").stat().st_size for number in range(shards)]
    assert max(sizes) < 1.5 * sum(sizes) / shards if shards < 10 else sum(sizes)


def test_shard_refusals(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard_params(2)
    chain("one")
    data = "--data one/texts.manifest.json one/task.manifest.json --tokenizer one/t.manifest.json"
    assert pocketlm(f"tokenize-shard --entry c --shard 2 {data} --out s/c-2 --manifest s/c-2.manifest.json") == 2
    assert "corpora.c.shards is 2: there is no shard 2" in capsys.readouterr().err
    for number in (0, 1):
        assert (
            pocketlm(
                f"tokenize-shard --entry c --shard {number} {data} --out s/{number} --manifest s/{number}.manifest.json"
            )
            == 0
        )
    Path("s/1/train.p.bin").write_bytes(b"other")
    line = "tokenize-join --entry c --shards s/0.manifest.json s/1.manifest.json --tokenizer one/t.manifest.json"
    assert pocketlm(f"{line} --out s/c --manifest s/c.manifest.json --contamination s/c.json") == 1
    assert "s/1/train.p.bin: changed since it was made" in capsys.readouterr().err


def test_a_bad_row_of_a_shard_is_found(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("texts.jsonl").open("a") as stream:
        stream.write('{"body": "no text"}\n')
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["sources"]["texts"]["sha256"] = artifacts.sha256("texts.jsonl")
    params["corpora"]["c"] |= {"shards": 2}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert pocketlm("download --entry texts --out d/texts --manifest d/texts.manifest.json") == 0
    with pytest.raises(
        artifacts.ArtifactError, match=r"d/texts/texts.jsonl, from its byte [\d,]+: row \d+ has no field 'text'"
    ):
        list(shard_documents(Part(source="texts"), Path("d/texts"), 1, 2, run))


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(), max_size=60) | st.text("aB9_é’\u3000\u2028\u0130ß \n-", max_size=60))
def test_words_are_those_of_the_pattern(text: str) -> None:
    assert [word.decode("utf-8", "surrogatepass") for word in words(text)] == re.findall(r"[^\W_]+", text.lower())
