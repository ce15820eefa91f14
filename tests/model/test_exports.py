"""Models out to the layouts of others, bit-exact; what a layout cannot express."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_shapes import ARCHES, OPTIONS, VOCAB, make
from safetensors.torch import load_file

from pocketlm.artifacts import ArtifactError
from pocketlm.cli import main
from pocketlm.model.exports import to_foreign
from pocketlm.model.folder import load_model, save_model
from pocketlm.model.imports import import_folder


def ours(folder: Path, **options: Any) -> Any:
    """A model folder of ours in bf16 with a tokenizer, and its tensors."""
    from tokenizers import Tokenizer, models

    tokenizer = folder.parent / "tokenizer"
    tokenizer.mkdir()
    Tokenizer(models.BPE(vocab={chr(33 + i): i for i in range(VOCAB)}, merges=[])).save(
        str(tokenizer / "tokenizer.json")
    )
    decoder = make(**options)
    save_model(decoder.state_dict(), decoder.arch, VOCAB, tokenizer, folder, "base")
    return decoder


@pytest.mark.parametrize("layout", ARCHES)
def test_export_and_import_is_bit_exact(layout: str, tmp_path: Path) -> None:
    decoder = ours(tmp_path / "m", **ARCHES[layout])
    assert main(["export", str(tmp_path / "m"), "--layout", layout, "--out", str(tmp_path / "x")]) == 0
    state, arch, vocab_size = import_folder(tmp_path / "x")
    before = load_file(tmp_path / "m" / "model.safetensors")
    assert vocab_size == VOCAB and state.keys() == before.keys()
    assert all(t.dtype == torch.bfloat16 and torch.equal(t, before[n]) for n, t in state.items())
    same = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "activation", "tied", "sharing")
    for key in (*same, "rope_int8", "rope_theta", "norm_eps", "max_seq_len"):
        assert getattr(arch, key) == getattr(decoder.arch, key), key
    written = {path.name for path in (tmp_path / "x").iterdir()}
    assert written == {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}


def test_an_exported_llama_is_transformers_own(tmp_path: Path, ids: torch.Tensor) -> None:
    import transformers

    ours(tmp_path / "m", head_dim=20, tied=False)
    assert main(["export", str(tmp_path / "m"), "--layout", "llama", "--out", str(tmp_path / "x")]) == 0
    llama = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "x", dtype=torch.float32)
    decoder = load_model(tmp_path / "m")[0]
    assert type(llama) is transformers.LlamaForCausalLM
    torch.testing.assert_close(llama(ids).logits, decoder.logits(decoder(ids)), atol=1e-5, rtol=1e-5)


def test_export_refuses_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours(tmp_path / "m", sharing=2, n_layers=2)
    arguments = ["export", str(tmp_path / "m"), "--layout", "llama", "--out", str(tmp_path / "x")]
    assert main(arguments) == 1
    assert "sharing=2 cannot be expressed" in capsys.readouterr().err and not (tmp_path / "x").exists()
    (tmp_path / "x").mkdir()
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    about = json.loads((tmp_path / "m" / "pocketlm.json").read_text())
    (tmp_path / "m" / "pocketlm.json").write_text(json.dumps(about | {"scheme": "int4"}))
    assert main([*arguments[:-1], str(tmp_path / "y")]) == 1
    assert "scheme='int4' cannot be expressed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "layout", "option"),
    [
        ("plain", "llama", "gated"),
        ("series", "llama", "series"),
        ("shortcuts", "phonelm", "shortcuts"),
        ("shared", "llama", "sharing"),
        ("relu", "mobilellm", "activation"),
        ("llama", "phonelm", "rope_int8"),
        ("rope_int8", "llama", "rope_int8"),
    ],
)
def test_what_a_layout_cannot_express_is_refused(options: str, layout: str, option: str) -> None:
    with pytest.raises(ArtifactError, match=f"{option}="):
        to_foreign(make(**OPTIONS[options]).arch, VOCAB, layout)


@pytest.mark.parametrize(
    ("change", "layout", "option"),
    [
        ({"head_dim": 32}, "mobilellm", "head_dim=32"),
        ({"sharing": 3}, "mobilellm", "sharing=3"),
        ({"activation": "relu2", "rope_int8": True}, "phonelm", "activation='relu2'"),
        ({"n_heads": 5, "n_kv_heads": 5}, "llama", "n_heads=5"),
    ],
)
def test_a_value_that_a_layout_cannot_express_is_refused(change: dict[str, Any], layout: str, option: str) -> None:
    arch = dataclasses.replace(make(**OPTIONS["llama"]).arch, **change)
    with pytest.raises(ArtifactError, match=f"{option} cannot be expressed"):
        to_foreign(arch, VOCAB, layout)
