"""The Llama subset against transformers' own Llama, and folders through its Auto classes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from model_shapes import OPTIONS, VOCAB, make

from pocketlm.artifacts import ArtifactError
from pocketlm.model.cache import Cache
from pocketlm.model.decoder import Decoder
from pocketlm.model.folder import is_llama, load_model, save_model
from pocketlm.model.generate import generate
from pocketlm.model.hf import padding_mask

LLAMAS = ("llama", "untied", "mha", "mqa_free_head_dim", "rope_theta")


def save(decoder: Decoder, out: Path) -> Path:
    save_model(decoder.state_dict(), decoder.arch, VOCAB, None, out, "base", dtype=torch.float32)
    return out


@pytest.mark.parametrize("name", LLAMAS)
def test_logits_and_gradients_equal_transformers(name: str, ids: torch.Tensor, tmp_path: Path) -> None:
    decoder = make(**OPTIONS[name]).train()
    llama = transformers.LlamaForCausalLM.from_pretrained(save(decoder, tmp_path))
    torch.testing.assert_close(decoder.logits(decoder(ids)), llama(ids).logits, atol=1e-5, rtol=1e-5)
    targets = ids.roll(-1, 1).clone()
    targets[1, 9:] = -100
    decoder.loss(ids, targets).backward()
    torch.nn.functional.cross_entropy(llama(ids).logits.flatten(0, 1), targets.flatten()).backward()
    same_gradients(decoder, llama)


def same_gradients(decoder: Decoder, llama: torch.nn.Module) -> None:
    """Within 1e-5 of the largest value of each tensor's gradient."""
    theirs = dict(llama.named_parameters())
    for n, p in decoder.named_parameters():
        assert p.grad is not None and theirs[n].grad is not None
        scale = float(theirs[n].grad.abs().max())
        assert scale > 0
        torch.testing.assert_close(p.grad, theirs[n].grad, atol=1e-5 * scale, rtol=0, msg=lambda m, n=n: f"{n}: {m}")


def test_documents_equal_transformers_on_each_padded_document(ids: torch.Tensor, tmp_path: Path) -> None:
    decoder = make().eval()
    llama = transformers.LlamaForCausalLM.from_pretrained(save(decoder, tmp_path))
    documents = torch.tensor([[0] * 6 + [1] * 11] * 3)
    ours = decoder.logits(decoder(ids, documents=documents))
    padded = torch.zeros(6, 11, dtype=torch.long)
    mask = torch.zeros_like(padded)
    padded[:3, :6], mask[:3, :6], padded[3:], mask[3:] = ids[:, :6], 1, ids[:, 6:], 1
    theirs = llama(padded, attention_mask=mask).logits
    torch.testing.assert_close(ours[:, :6], theirs[:3, :6], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[:, 6:], theirs[3:], atol=1e-5, rtol=1e-5)
    targets = ids.roll(-1, 1).clone()
    targets[:, [5, 16]] = -100  # no token of one document foretells the next
    decoder.loss(ids, targets, documents).backward()
    wanted = torch.full_like(padded, -100)
    wanted[:3, :6], wanted[3:] = targets[:, :6], targets[:, 6:]
    torch.nn.functional.cross_entropy(theirs.flatten(0, 1), wanted.flatten()).backward()
    same_gradients(decoder, llama)


def test_cached_generation_equals_transformers(tmp_path: Path) -> None:
    decoder = make().eval()
    llama = transformers.LlamaForCausalLM.from_pretrained(save(decoder, tmp_path))
    prompt = [3, 1, 4, 1, 5]
    theirs = llama.generate(torch.tensor([prompt]), max_new_tokens=9, do_sample=False, pad_token_id=0)
    assert generate(decoder, [prompt], 9)[0] == theirs[0, 5:].tolist()


CHUNKS = (6, 1, 1, 4, 1, 1, 3)  # a prompt, then tokens one by one and several at once


@pytest.mark.parametrize("name", LLAMAS)
@torch.inference_mode()
def test_cached_logits_equal_transformers_step_by_step(name: str, ids: torch.Tensor, tmp_path: Path) -> None:
    decoder = make(**OPTIONS[name]).eval()
    llama = transformers.LlamaForCausalLM.from_pretrained(save(decoder, tmp_path)).eval()
    cache, theirs = Cache(decoder.arch, 3, 17), transformers.DynamicCache()
    for part in ids.split(CHUNKS, 1):
        want = llama(part, past_key_values=theirs, use_cache=True).logits
        torch.testing.assert_close(decoder.logits(decoder(part, cache=cache)), want, atol=1e-5, rtol=1e-5)
    assert cache.length == theirs.get_seq_length() == 17


@pytest.mark.parametrize("name", LLAMAS)
@torch.inference_mode()
def test_left_padded_cached_logits_equal_transformers_step_by_step(
    name: str, ids: torch.Tensor, tmp_path: Path
) -> None:
    """Rows of 6, 4 and 1 tokens in one batch, padded on the left; positions count each row's own tokens."""
    decoder = make(**OPTIONS[name]).eval()
    llama = transformers.LlamaForCausalLM.from_pretrained(save(decoder, tmp_path)).eval()
    cache, theirs = Cache(decoder.arch, 3, 17), transformers.DynamicCache()
    real = torch.ones_like(ids)
    real[1, :2] = real[2, :5] = 0
    positions = (real.cumsum(1) - 1).clamp(min=0)
    start = 0
    for count in CHUNKS:
        new, seen = slice(start, start + count), real[:, : start + count]
        part, where = ids[:, new], positions[:, new]
        want = llama(part, attention_mask=seen, position_ids=where, past_key_values=theirs, use_cache=True).logits
        mask = padding_mask(seen, count, torch.float32)
        found = decoder.logits(decoder.model(part, where, mask, cache))
        kept = real[:, new].bool()
        torch.testing.assert_close(found[kept], want[kept], atol=1e-5, rtol=1e-5)
        start += count
    alone = decoder.logits(decoder(ids[2:, 5:]))  # and the padded row is what it is without its padding
    torch.testing.assert_close(found[2:], alone[:, -CHUNKS[-1] :], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_folder_round_trip(name: str, ids: torch.Tensor, tmp_path: Path) -> None:
    decoder = make(**OPTIONS[name]).eval()
    loaded, arch, about = load_model(save(decoder, tmp_path))
    assert arch == decoder.arch and about["phase"] == "base"
    assert all(torch.equal(t, loaded.state_dict()[n]) for n, t in decoder.state_dict().items())
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == (
        "llama" if is_llama(arch) else "pocketlm"
    )
    torch.testing.assert_close(loaded(ids), decoder(ids), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["shared", "all", "relu", "shortcuts"])
def test_registered_model_pads_caches_and_generates(name: str, ids: torch.Tensor, tmp_path: Path) -> None:
    from pocketlm.model.hf import register

    register()
    decoder = make(**OPTIONS[name]).eval()
    model = transformers.AutoModelForCausalLM.from_pretrained(save(decoder, tmp_path)).eval()
    expected = decoder.logits(decoder(ids))
    torch.testing.assert_close(model(ids).logits, expected, atol=1e-5, rtol=1e-5)
    left = torch.cat([torch.zeros(3, 4, dtype=torch.long), ids], 1)
    mask = torch.cat([torch.zeros(3, 4, dtype=torch.long), torch.ones_like(ids)], 1)
    torch.testing.assert_close(model(left, attention_mask=mask).logits[:, 4:], expected, atol=2e-5, rtol=1e-5)
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    ours = generate(decoder, ids.tolist(), 6)
    assert model.generate(ids, **settings)[:, 17:].tolist() == ours
    assert model.generate(left, attention_mask=mask, **settings)[:, 21:].tolist() == ours
    model.save_pretrained(tmp_path / "again")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again").eval()
    torch.testing.assert_close(again(ids).logits, expected, atol=1e-5, rtol=1e-5)


LOADS = """
import sys, torch
sys.path = [p for p in sys.path if not p.rstrip("/").endswith("src")]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "pocketlm" or name.startswith("pocketlm."):
            raise ImportError("not importable here")
sys.meta_path.insert(0, Refuse())
from transformers import AutoModelForCausalLM
ids = torch.arange(12).view(2, 6)
for folder, trust in ((sys.argv[1], False), (sys.argv[2], True)):
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trust).eval()
    torch.save(model(ids).logits.detach(), folder + "/logits.pt")
"""


def test_folders_load_without_this_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    decoders = {n: make(**OPTIONS[n]).eval() for n in ("llama", "all")}
    folders = [str(save(d, tmp_path / n)) for n, d in decoders.items()]
    done = subprocess.run([sys.executable, "-c", LOADS, *folders], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for folder, decoder in zip(folders, decoders.values(), strict=True):
        found = torch.load(f"{folder}/logits.pt")
        expected = decoder.logits(decoder(torch.arange(12).view(2, 6))).detach()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_save_refuses_what_does_not_fit(tmp_path: Path) -> None:
    decoder = make()
    state = decoder.state_dict()
    del state["model.norm.weight"]
    state["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 3)
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(ArtifactError) as error:
        save_model(state, decoder.arch, VOCAB, None, tmp_path / "m", "base")
    text = str(error.value)
    assert "missing: model.norm.weight" in text and "extra.weight" in text and "(3, 3), not (80, 48)" in text
    with pytest.raises(ArtifactError, match="pocketlm import"):
        load_model(tmp_path)
