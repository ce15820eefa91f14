"""The stages quantize and score, and the commands generate and chat, on a folder made by transformers."""

import argparse
import importlib
import io
import json
import shutil
import sys

import pytest
from whole_params import whole

from pocketlm import artifacts, config
from pocketlm.scoring.paired import differences, select

SCHEMES = {"bf16": "torch", "int4": "torch", "gguf_q8_0": "llamacpp"}
PARAMS = {
    "search": {"enabled": False},
    "devices": {"local": {}},
    "sources": {"items": {"kind": "path", "path": "x", "sha256": "0" * 64}},
    "tokenizers": {"t": {"vocab_size": 320, "corpora": ["text"]}},
    "corpora": {"text": {"tokenizer": "t", "parts": {"all": {"source": "items"}}}},
    "plans": {"p": {"corpus": "text", "seq_len": 64}},
    "models": {"m": {"architecture": {"tokenizer": "t"}, "base": "p", "instruct": None, "call": None}},
    "deployments": {s: {"model": "m", "phase": "base", "scheme": s, "runtime": r} for s, r in SCHEMES.items()},
    "suites": {
        "local": {
            "batch_size": 8,
            "max_new_tokens": 8,
            "tasks": {
                "choice": {"source": "items", "file": "mc.jsonl", "limit": 8},
                "calls": {"source": "items", "file": "calls.jsonl", "template": "calls", "metric": "exact_match"},
            },
        }
    },
}


def stage(name, *arguments):
    module = importlib.import_module(f"pocketlm.stages.{name}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([str(a) for a in arguments]))


@pytest.fixture(scope="module")
def run_folder(folder, tmp_path_factory):
    """A run folder with one base model, its deployments and a source of items."""
    root = tmp_path_factory.mktemp("run")
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    (root / "params.yaml").write_text(json.dumps(whole(PARAMS)))
    shutil.copytree(folder, root / "results/models/m/base")
    artifacts.write_manifest("results/models/m/base", "results/models/m/base.manifest.json")
    items = root / "results/data/items"
    items.mkdir(parents=True)
    mc = [
        {"query": f"Ben has {i}. The ball is in the", "choices": ["hall", "kitchen"], "gold": i % 2} for i in range(12)
    ]
    artifacts.write_jsonl(items / "mc.jsonl", mc)
    call = {
        "messages": [{"role": "user", "content": "go"}],
        "calls": [{"name": "go", "arguments": {}}],
        "group": "seen",
    }
    artifacts.write_jsonl(items / "calls.jsonl", [call])
    artifacts.write_manifest(items, "results/data/items.manifest.json")
    quantize = ["--entry", "m", "--models", "results/models/m/base.manifest.json", "--out", "results/deploy/m"]
    stage(
        "quantize", *quantize, "--manifest", "results/deploy/m.manifest.json", "--sizes", "results/deploy/m.sizes.json"
    )
    yield root
    patch.undo()


SCORE = [
    "--entry", "m", "--suite", "local", "--models", "results/models/m/base.manifest.json",
    "--deploy", "results/deploy/m.manifest.json", "--data", "results/data/items.manifest.json",
    "--out", "results/scores/m.json", "--samples", "results/scores/m.samples.jsonl",
]  # fmt: skip


def test_quantize(run_folder):
    sizes = artifacts.read_json("results/deploy/m.sizes.json")
    assert sizes.keys() == SCHEMES.keys()
    assert sizes["int4"]["linear_bytes"] < 0.3 * sizes["bf16"]["linear_bytes"]
    manifest = artifacts.check_manifest("results/deploy/m", "results/deploy/m.manifest.json")
    assert {name.split("/")[0] for name in manifest["files"]} == {"base-int4", "base-gguf_q8_0"}


def test_score(run_folder):
    stage("score", *SCORE)
    rows = artifacts.read_json("results/scores/m.json")
    assert {(r["phase"], r["scheme"], r["suite"], r["seed"]) for r in rows} == {
        ("base", s, "local", 0) for s in SCHEMES
    }
    choice = [row for row in rows if row["task"] == "choice" and row["metric"] == "acc"]
    assert [(row["n"], row["chance"]) for row in choice] == [(8, 0.5)] * 3
    samples = list(artifacts.read_jsonl("results/scores/m.samples.jsonl"))
    for row in rows:
        own = select(samples, task=row["task"], metric=row["metric"], scheme=row["scheme"])
        assert sum(s["value"] for s in own) / len(own) == pytest.approx(row["value"], abs=1e-5)
    paired = differences(select(samples, scheme="bf16"), select(samples, scheme="int4"))
    assert {d.task for d in paired} == {"choice", "calls", "*"}


def test_score_names_a_missing_field(run_folder):
    path = run_folder / "results/data/items/mc.jsonl"
    before = path.read_text()
    try:
        path.write_text(before + json.dumps({"query": "q", "choices": ["a"]}) + "\n")
        artifacts.write_manifest("results/data/items", "results/data/items.manifest.json")
        with pytest.raises(artifacts.ArtifactError, match=r"mc\.jsonl: line 13: the field 'gold' is missing"):
            stage("score", *SCORE)
    finally:
        path.write_text(before)
        artifacts.write_manifest("results/data/items", "results/data/items.manifest.json")


def test_score_refuses_unknown_entries_and_changed_bytes(run_folder):
    with pytest.raises(config.ConfigError, match=r"suites\.other: no such entry; there are local"):
        stage("score", *["other" if a == "local" else a for a in SCORE])
    extra = run_folder / "results/deploy/m/extra"
    extra.write_text("x")
    with pytest.raises(artifacts.ArtifactError, match="changed since it was made"):
        stage("score", *SCORE)
    extra.unlink()


def likeliest(scheme, prompt, count):
    """Greedy decoding without a cache: the whole prefix is computed for every token."""
    import torch

    from pocketlm.data.chat import Chat
    from pocketlm.quantization import load_quantized

    folder = "results/models/m/base" if scheme == "bf16" else f"results/deploy/m/base-{scheme}"
    decoder, chat = load_quantized(folder), Chat(folder)
    ids = list(prompt) if isinstance(prompt, list) else chat.tokenizer.encode(prompt, add_special_tokens=False).ids
    new = []
    while len(new) < count:
        with torch.no_grad():
            token = int(decoder.logits(decoder(torch.tensor([ids + new])))[0, -1].argmax())
        if token in (0, 4):  # <|endoftext|>, <|end|>
            break
        new.append(token)
    return chat.tokenizer.decode(new, skip_special_tokens=True).rstrip("\ufffd")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_generate(run_folder, capsys, scheme):
    want = likeliest(scheme, "Anna has", 24)
    assert len(want) > 10
    stage("generate", "m", "Anna has", "--scheme", scheme, "--max-new-tokens", "24")
    assert capsys.readouterr() == (f"Anna has{want}\n", "")


def test_generate_keeps_a_prompt_that_fits(run_folder, capsys):
    """More new tokens than the context has room for: the prompt stays, the answer is cut, and that is said."""
    prompt = "Anna has 12 red apples. Ben has 7"
    stage("generate", "m", prompt, "--max-new-tokens", "1000")
    out, err = capsys.readouterr()
    count = int(err.split("cut after ")[1].split()[0])
    assert out == f"{prompt}{likeliest('bf16', prompt, count)}\n" and count > 40
    assert f"(cut after {count} new tokens: prompt and answer fill the context of 96)" in err


def test_generate_says_what_is_cut_of_a_long_prompt(run_folder, capsys):
    from pocketlm.data.chat import Chat

    prompt = "Anna has 12 red apples. " * 20
    ids = Chat("results/models/m/base").tokenizer.encode(prompt, add_special_tokens=False).ids
    stage("generate", "m", prompt, "--max-new-tokens", "5")
    out, err = capsys.readouterr()
    assert out == f"{prompt}{likeliest('bf16', ids[-95:], 1)}\n"
    assert f"(the first {len(ids) - 95} of the prompt's {len(ids)} tokens are cut: the context holds 96)" in err


def test_generate_is_repeatable_from_a_folder(run_folder, capsys):
    for _ in range(2):
        stage(
            "generate",
            "results/deploy/m/base-int4",
            "über",
            "--temperature",
            "1",
            "--seed",
            "3",
            "--max-new-tokens",
            "8",
        )
    first, second = capsys.readouterr().out.strip("\n").split("\nüber")
    assert first.removeprefix("über") == second


def test_generate_says_what_there_is(run_folder):
    with pytest.raises(artifacts.ArtifactError, match="of m there are: base, base-gguf_q8_0, base-int4"):
        stage("generate", "m", "x", "--scheme", "int8")
    with pytest.raises(artifacts.ArtifactError, match="there are: m"):
        stage("generate", "unknown", "x")


def talk(monkeypatch, capsys, lines, *arguments):
    """(standard output, standard error) of a chat."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, "", ""])))
    stage("chat", "m", *arguments)
    return capsys.readouterr()


def turns(*contents):
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def test_chat(run_folder, capsys, monkeypatch):
    """The second answer is of the whole dialogue, with the tool shown."""
    from pocketlm.data.chat import Chat

    chat, tools = Chat("results/models/m/base"), ["go(x)"]
    first = likeliest("bf16", chat.prompt(turns("Where?"), tools), 4)
    second = likeliest("bf16", chat.prompt(turns("Where?", first, "And Anna?"), tools), 4)
    found = talk(monkeypatch, capsys, ["Where?", "And Anna?"], "--max-new-tokens", "4", "--tool", "go(x)")
    assert first and second and found == (f"{first}\n{second}\n", "An empty line ends the chat.\n")


def test_a_long_chat_keeps_its_system_turn(run_folder, capsys, monkeypatch):
    """Whole old turns go, the system turn and the tools stay; a line that fits in no way is refused."""
    from pocketlm.data.chat import Chat

    chat, system = Chat("results/models/m/base"), [{"role": "system", "content": "Be brief."}]
    old, new = "The ball is in the kitchen; Carla wants to buy the ball.", "Set an alarm for 7:30 and call it gym."
    first = likeliest("bf16", chat.prompt(system + turns(old), ["go(x)"]), 20)
    whole = chat.prompt(system + turns(old, first, new), ["go(x)"])
    short = chat.prompt(system + turns(new), ["go(x)"])
    assert len(short) <= 96 - 20 < len(whole)
    second = likeliest("bf16", short, 20)
    lines = [old, new, "word " * 100]
    out, err = talk(monkeypatch, capsys, lines, "--max-new-tokens", "20", "--system", "Be brief.", "--tool", "go(x)")
    assert out == f"{first}\n{second}\n"
    assert "(the oldest 2 turns are left out: the context holds 96 tokens)" in err
    assert "tokens with system and tools, the context holds 96: shorten them)" in err


DAMAGE = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "no header": lambda file: file.write_bytes(b"x"),
    "a missing part": lambda file: save_without(file, "weight_packed"),
    "other scales": lambda file: save_without(file, "weight_scale", cut=True),
    "gone": lambda file: file.unlink(),
}


def save_without(file, part, cut=False):
    """The packed file without a tensor, or with half of it."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith(part))
    value = tensors.pop(name)
    save_file(tensors | ({name: value[:-1].contiguous()} if cut else {}), file)


@pytest.mark.parametrize("damage", DAMAGE)
def test_generate_names_a_damaged_packed_folder(run_folder, tmp_path, damage):
    folder = shutil.copytree("results/deploy/m/base-int4", tmp_path / "int4")
    DAMAGE[damage](folder / "model.safetensors")
    with pytest.raises(artifacts.ArtifactError, match=f"^{folder}/model.safetensors: .*(make it again|no such file)"):
        stage("generate", folder, "Anna", "--max-new-tokens", "1")
