"""The stages on a hand-made tokens folder: pretrain, then instruct from its model; outputs, manifests, reruns."""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from pocketlm import artifacts, config
from pocketlm.config import ConfigError
from pocketlm.model.folder import load_model
from pocketlm.stages import call, instruct, pretrain, random, trial

SHAPE = {
    "n_layers": 2, "d_model": 16, "n_heads": 2, "n_kv_heads": 1, "head_dim": 8, "d_ff": 32, "max_seq_len": 16,
}  # fmt: skip


def tokens_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split, size in (("train", 4000), ("val", 400)):
        steps = generator.integers(1, 3, size).cumsum() % tiny.VOCAB
        steps.astype(np.uint16).tofile(folder / f"{split}.text.bin")
        np.array([0, size], dtype=np.int64).tofile(folder / f"{split}.text.idx")
    np.full(tiny.VOCAB, 2, dtype=np.uint16).tofile(folder / "token_bytes.bin")
    part = {"weight": 1.0, "train": {"documents": 1, "tokens": 4000}, "val": {"documents": 1, "tokens": 400}}
    about = {"vocab_size": tiny.VOCAB, "dtype": "uint16", "kind": "text", "pad_id": 1, "parts": {"text": part}}
    artifacts.write_json(folder / "meta.json", {**about, "val_bytes": 800, "val_tokens": 400})
    artifacts.write_manifest(folder, f"{folder}.manifest.json")


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tokens_folder(Path("results/tokens/text"))
    folder = Path("results/tokenizers/t")
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text('{"added_tokens": []}')
    (folder / "tokenizer_config.json").write_text("{}")
    artifacts.write_manifest(folder, f"{folder}.manifest.json")
    parsed = config.Params(
        plans={"pretrain": tiny.plan(steps=12), "instruct": tiny.plan(steps=4)},
        models={"m": config.Model(architecture=config.Architecture(**SHAPE), call=None)},  # type: ignore[arg-type]
    )
    monkeypatch.setattr(config, "load", lambda _: parsed)  # the checks of whole runs are another room's
    return tmp_path


def arguments(stage: object, phase: str, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)  # type: ignore[attr-defined]
    out = f"results/models/m/{phase}"
    given = ["--entry", "m", "--tokens", "results/tokens/text.manifest.json", "--out", out]
    given += ["--tokenizer", "results/tokenizers/t.manifest.json", "--manifest", f"{out}.manifest.json"]
    return parser.parse_args([*given, "--metrics", f"{out}.metrics.json", "--curve", f"{out}.curve.csv", *more])


def test_chain_of_phases(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain.run(arguments(pretrain, "base"))
    assert capsys.readouterr().err.splitlines()[-1].endswith("bits per byte on held-out text -> results/models/m/base")
    base = Path("results/models/m/base.manifest.json")
    first = artifacts.check_manifest("results/models/m/base", base)
    found = json.loads(Path("results/models/m/base.metrics.json").read_text())
    assert found["steps"] == 12 and found["val_loss"] / np.log(2) / 2 == pytest.approx(
        found["val_bits_per_byte"], rel=1e-4
    )
    rows = list(csv.DictReader(Path("results/models/m/base.curve.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["5", "10", "12"]
    decoder, arch, _ = load_model("results/models/m/base")
    assert arch.n_layers == 2 and sum(p.numel() for p in decoder.parameters()) == found["params"]
    assert not list(Path("results/checkpoints").iterdir())
    assert len(Path("results/logs/base-m.timing.jsonl").read_text().splitlines()) == 3
    pretrain.run(arguments(pretrain, "base"))  # again: the same bytes
    assert artifacts.read_json(base) == first
    instruct.run(arguments(instruct, "instruct", "--init", str(base)))
    tuned = json.loads(Path("results/models/m/instruct.metrics.json").read_text())
    assert tuned["train_loss"] < float(rows[0]["loss"])  # it went on from the base's weights


def test_a_searched_architecture(run_folder: Path) -> None:
    shape = {**SHAPE, "n_layers": 1, "kind": "searched", "rank": 0}
    artifacts.write_json("results/arch/a0.json", {**shape, "vocab_size": tiny.VOCAB, "policy": "knee"})
    pretrain.run(arguments(pretrain, "base", "--arch", "results/arch/a0.json"))
    assert load_model("results/models/m/base")[1].n_layers == 1
    artifacts.write_json("results/arch/a0.json", {**shape, "vocab_size": 99})
    with pytest.raises(artifacts.ArtifactError, match="vocab_size 99, but .* has 64"):
        pretrain.run(arguments(pretrain, "base", "--arch", "results/arch/a0.json"))


def test_a_trial_is_a_single_process_whatever_the_trainings_have(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same result for one rank and for four; a training itself refuses to run alone."""
    slot = {"name": "s", "anchor": None, "architecture": SHAPE, "vocab_size": tiny.VOCAB, "params": 1, "predicted": {}}
    artifacts.write_json("results/search/proposal.json", {"slots": [slot], "random": [slot]})
    search = config.Search(plan="pretrain", rungs=[config.Rung(slots=1, steps=6)])
    found = []
    for ranks in (config.Numerics(), config.Numerics(world_size=4, parallel="fsdp")):
        given = replace(config.load("params.yaml"), search=search, numerics=ranks)
        with monkeypatch.context() as context:
            context.setattr(config, "load", lambda _, given=given: given)
            for stage, own in ((trial, ["--rung", "0", "--slot", "0"]), (random, [])):
                parser = argparse.ArgumentParser()
                stage.add_arguments(parser)  # type: ignore[attr-defined]
                common = ["--candidates", "results/search/proposal.json", "--out", "results/search/out.json"]
                tokens = ["--tokens", "results/tokens/text.manifest.json"]
                stage.run(parser.parse_args([*common, *tokens, *own]))  # type: ignore[attr-defined]
                found.append(Path("results/search/out.json").read_bytes())
            if ranks.world_size > 1:
                with pytest.raises(ConfigError, match="world_size=4, but 1 process"):
                    pretrain.run(arguments(pretrain, "base"))
    assert found[:2] == found[2:] and json.loads(found[0])["loss_bpb"] > 0


def test_refusals(run_folder: Path) -> None:
    with pytest.raises(ConfigError, match="models.m.call is null"):
        call.run(arguments(call, "call", "--init", "x.manifest.json"))
    bad = arguments(pretrain, "base")
    bad.entry = "nobody"
    with pytest.raises(ConfigError, match="no entry nobody; there are: m"):
        pretrain.run(bad)
    Path("results/tokens/text/train.text.bin").write_bytes(b"changed")
    with pytest.raises(artifacts.ArtifactError, match=r"train.text.bin: changed since it was made"):
        pretrain.run(arguments(pretrain, "base"))


def test_one_process_of_a_node_reads_the_tokens(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second rank of a node does not hash a corpus again; the first finds what changed."""
    from pocketlm.stages._training import tokens_of

    manifest = Path("results/tokens/text.manifest.json")
    assert tokens_of(manifest)["sha256"] == artifacts.read_json(manifest)["sha256"]
    with (artifacts.folder_of(manifest) / "train.text.bin").open("r+b") as stream:
        stream.write(b"\xff\xff")
    with pytest.raises(artifacts.ArtifactError, match="train.text.bin: changed since it was made"):
        tokens_of(manifest)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert tokens_of(manifest) == artifacts.read_json(manifest)
