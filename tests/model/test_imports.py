"""Foreign checkpoints in, bit-exact; the MobileLLM traps; what we cannot express."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_shapes import ARCHES, VOCAB, make
from safetensors.torch import load_file, save_file

from pocketlm.artifacts import ArtifactError
from pocketlm.cli import main
from pocketlm.model.exports import to_foreign
from pocketlm.model.folder import load_model
from pocketlm.model.imports import import_folder


def foreign(folder: Path, layout: str, changes: dict[str, Any] | None = None, **options: Any) -> Any:
    """A checkpoint folder in a foreign layout, and the decoder that it was made from."""
    decoder = make(**(ARCHES[layout] | options))
    config = {**to_foreign(decoder.arch, VOCAB, layout), **(changes or {})}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    save_file({k: v.contiguous() for k, v in decoder.state_dict().items()}, folder / "model.safetensors")
    return decoder


@pytest.mark.parametrize("layout", ARCHES)
def test_out_and_in_again_is_bit_exact(layout: str, tmp_path: Path) -> None:
    decoder = foreign(tmp_path, layout)
    state, arch, vocab_size = import_folder(tmp_path)
    assert vocab_size == VOCAB and state.keys() == decoder.state_dict().keys()
    assert all(torch.equal(t, decoder.state_dict()[n]) for n, t in state.items())
    for key in ("n_layers", "n_kv_heads", "head_dim", "d_ff", "activation", "tied", "sharing", "rope_int8", "norm_eps"):
        assert getattr(arch, key) == getattr(decoder.arch, key), key


def test_folder_written_by_transformers_is_imported(tmp_path: Path, ids: torch.Tensor) -> None:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, rms_norm_eps=1e-6, rope_theta=777.0,
    )  # fmt: skip
    llama = transformers.LlamaForCausalLM(config).eval()
    llama.save_pretrained(tmp_path)
    state, arch, _ = import_folder(tmp_path)
    assert arch.rope_theta == 777.0 and not arch.tied
    from pocketlm.model.folder import build

    decoder = build(state, arch, VOCAB, torch.float32, "cpu")
    torch.testing.assert_close(decoder.logits(decoder(ids)), llama(ids).logits, atol=1e-5, rtol=1e-5)


def test_mobilellm_ties_although_its_config_says_untied(tmp_path: Path) -> None:
    foreign(tmp_path, "mobilellm")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["tie_word_embeddings"] is False and config["share_embedding"] is True
    assert import_folder(tmp_path)[1].tied
    # a copy of the head in the file is dropped if it is the embedding, refused if it is not
    state = load_file(tmp_path / "model.safetensors")
    head = state["model.embed_tokens.weight"].clone()
    save_file(state | {"lm_head.weight": head}, tmp_path / "model.safetensors")
    assert "lm_head.weight" not in import_folder(tmp_path)[0]
    save_file(state | {"lm_head.weight": head + 1}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="lm_head.weight differs"):
        import_folder(tmp_path)


def test_mobilellm_sharing_must_be_said(tmp_path: Path) -> None:
    foreign(tmp_path, "mobilellm", {"layer_sharing": None})
    with pytest.raises(ArtifactError, match="layer_sharing is missing"):
        import_folder(tmp_path)
    for value, sharing in ((True, 2), (False, 1)):
        foreign(tmp_path, "mobilellm", {"layer_sharing": value})
        assert import_folder(tmp_path)[1].sharing == sharing


@pytest.mark.parametrize("value", [3, 1, "true"])
def test_a_sharing_that_is_no_flag_is_refused(value: Any, tmp_path: Path) -> None:
    """3 executions of a block would have become 2."""
    foreign(tmp_path, "mobilellm", {"layer_sharing": value})
    with pytest.raises(ArtifactError, match=f"layer_sharing={value!r}"):
        import_folder(tmp_path)


def test_mobilellm_weights_under_a_stock_llama_config_are_refused(tmp_path: Path) -> None:
    foreign(tmp_path, "mobilellm", {"model_type": "llama", "share_embedding": None, "layer_sharing": None})
    with pytest.raises(ArtifactError, match=r"share_embedding: true .* layer_sharing \(true: an LS model"):
        import_folder(tmp_path)


def test_a_tied_head_that_cannot_be_the_embedding_is_named(tmp_path: Path) -> None:
    foreign(tmp_path, "mobilellm")
    state = load_file(tmp_path / "model.safetensors")
    embedding = state.pop("model.embed_tokens.weight")
    save_file(state | {"lm_head.weight": embedding}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="missing: model.embed_tokens.weight"):
        import_folder(tmp_path)
    wrong = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding[:5].clone()}
    save_file(state | wrong, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=r"differs .* in shape, \(5, 48\), not \(97, 48\)"):
        import_folder(tmp_path)


def test_a_format_without_arithmetic_is_named(tmp_path: Path) -> None:
    foreign(tmp_path, "mobilellm")
    state = load_file(tmp_path / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    save_file({n: t.to(torch.float8_e4m3fn) for n, t in state.items()}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="is float8_e4m3fn; float16, bfloat16 and float32"):
        import_folder(tmp_path)


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    foreign(tmp_path, "llama")
    good = load_file(tmp_path / "model.safetensors")
    bad = {k: v for k, v in good.items() if k != "model.layers.1.mlp.up_proj.weight"}
    bad |= {"model.norm.weight": torch.ones(5), "model.layers.9.mlp.up_proj.weight": torch.ones(2)}
    save_file(bad, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError) as error:
        import_folder(tmp_path)
    for part in ("missing: model.layers.1.mlp.up_proj.weight", "model.layers.9.mlp.up_proj.weight", "(5,), not (48,)"):
        assert part in str(error.value)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match="is a pickle.*pocketlm convert"):
        import_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"0123456789abcdef")
    with pytest.raises(ArtifactError, match="damaged safetensors"):
        import_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_bias": True}, "attention_bias=True"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_scaling='yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling='linear'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_parameters": None}, "rope_scaling='llama3'"),
        ({"partial_rotary_factor": 0.25}, "partial_rotary_factor=0.25"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
        ({"hidden_act": "tanh"}, "hidden_act='tanh'"),
        ({"model_type": "gpt2"}, "model_type 'gpt2'"),
        ({"vocab_size": None}, "'vocab_size' is missing"),
    ],
)
def test_what_we_cannot_express_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    foreign(tmp_path, "llama", change)
    with pytest.raises(ArtifactError, match=message):
        import_folder(tmp_path)


def run_import(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import stage on a folder, with a tokenizer in it."""
    import argparse

    from tokenizers import Tokenizer, models

    from pocketlm import artifacts, config
    from pocketlm.stages import import_model

    Tokenizer(models.BPE(vocab={chr(33 + i): i for i in range(VOCAB)}, merges=[])).save(str(source / "tokenizer.json"))
    arch = config.Architecture(kind="imported", path=str(source))
    monkeypatch.setattr(config, "load", lambda path: config.Params(models={"m": config.Model(architecture=arch)}))
    manifest = out.with_name("base.manifest.json")
    import_model.run(argparse.Namespace(params="params.yaml", entry="m", out=out, manifest=manifest))
    assert artifacts.check_manifest(out, manifest)["phase"] == "base"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_import_stage_keeps_the_bits(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In by the stage, out by the command: the same bits, and a config.json that says in what they are."""
    foreign(tmp_path / "in", "llama")
    state = {name: tensor.to(dtype) for name, tensor in load_file(tmp_path / "in" / "model.safetensors").items()}
    save_file(state, tmp_path / "in" / "model.safetensors")
    run_import(tmp_path / "in", tmp_path / "base", monkeypatch)
    kind = str(dtype).removeprefix("torch.")
    assert f"in {kind} ->" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "base"), "--layout", "llama", "--out", str(tmp_path / "x")]) == 0
    for folder in ("base", "x"):
        found = load_file(tmp_path / folder / "model.safetensors")
        assert found.keys() == state.keys()
        assert all(found[n].dtype == dtype and torch.equal(found[n], tensor) for n, tensor in state.items())
        assert json.loads((tmp_path / folder / "config.json").read_text())["dtype"] == kind
    loaded = load_model(tmp_path / "base")[0].state_dict()
    assert all(torch.equal(tensor.float(), loaded[n]) for n, tensor in state.items())


def test_import_stage_widens_a_mixture_and_refuses_other_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path / "in", "llama")
    state = {name: tensor.half() for name, tensor in load_file(tmp_path / "in" / "model.safetensors").items()}
    state["model.norm.weight"] = state["model.norm.weight"].bfloat16()
    save_file(state, tmp_path / "in" / "model.safetensors")
    run_import(tmp_path / "in", tmp_path / "base", monkeypatch)
    found = load_file(tmp_path / "base" / "model.safetensors")
    assert all(found[n].dtype == torch.float32 and torch.equal(found[n], t.float()) for n, t in state.items())
    for dtype, kind in ((torch.float64, "float64"), (torch.float8_e4m3fn, "float8_e4m3fn"), (torch.int8, "int8")):
        other = state | {"model.norm.weight": torch.ones(48).to(dtype)}
        save_file(other, tmp_path / "in" / "model.safetensors")
        with pytest.raises(ArtifactError, match=f"model.norm.weight is {kind}; float16, bfloat16 and float32"):
            run_import(tmp_path / "in", tmp_path / "other", monkeypatch)
