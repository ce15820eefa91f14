"""Model folders: what ``from_pretrained`` reads, plus ``pocketlm.json``. Written and read without transformers.

An architecture that is exactly a Llama becomes a ``LlamaForCausalLM`` folder that loads anywhere. The others carry the
decoder's own files and load with ``trust_remote_code``, or through ``pocketlm.model.hf.register()``.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pocketlm.artifacts import ArtifactError, digest, read_json, sha256, write_json
from pocketlm.config import Architecture
from pocketlm.model.decoder import Decoder
from pocketlm.model.state import check_state, expected_shapes

# tokenizer files of a Hugging Face folder
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
CODE = ("decoder.py", "layers.py", "kernels.py", "loss.py", "rope.py")
MODELING = "modeling_pocketlm.py"


def is_llama(arch: Architecture) -> bool:
    """Whether stock transformers' Llama computes exactly this (its config wants n_heads to divide d_model)."""
    return (
        arch.gated
        and arch.activation == "silu"
        and arch.sharing == 1
        and not (arch.rope_int8 or arch.series or arch.shortcuts)
        and arch.d_model % arch.n_heads == 0
    )


def llama_config(arch: Architecture, vocab_size: int) -> dict[str, Any]:
    """config.json of a LlamaForCausalLM."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": arch.d_model,
        "intermediate_size": arch.d_ff,
        "num_hidden_layers": arch.n_layers,
        "num_attention_heads": arch.n_heads,
        "num_key_value_heads": arch.n_kv_heads,
        "head_dim": arch.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": arch.max_seq_len,
        "rms_norm_eps": arch.norm_eps,
        "rope_theta": arch.rope_theta,  # what transformers 4 and llama.cpp read; 5 reads the next
        "rope_parameters": {"rope_theta": arch.rope_theta, "rope_type": "default"},
        "tie_word_embeddings": arch.tied,
        "initializer_range": arch.init_std,
        "attention_bias": False,
        "mlp_bias": False,
    }


def pocketlm_config(arch: Architecture, vocab_size: int) -> dict[str, Any]:
    """config.json of a PocketLMForCausalLM: Llama's names, and the architecture itself."""
    return {
        **llama_config(arch, vocab_size),
        "architectures": ["PocketLMForCausalLM"],
        "model_type": "pocketlm",
        "auto_map": {
            "AutoConfig": "modeling_pocketlm.PocketLMConfig",
            "AutoModelForCausalLM": "modeling_pocketlm.PocketLMForCausalLM",
        },
        "num_hidden_layers": arch.n_layers * arch.sharing,  # executions: one cache layer each
        "hidden_act": arch.activation,
        "architecture": shape_of(arch),
    }


def shape_of(arch: Architecture) -> dict[str, Any]:
    """The fields that say what is computed."""
    fields = dataclasses.asdict(arch)
    return {k: v for k, v in fields.items() if k not in ("kind", "rank", "path", "tokenizer")}


def special_ids(folder: Path | None) -> dict[str, Any]:
    """bos, eos, pad of a tokenizer folder and ``end``, the ids that end an answer."""
    if folder is None or not (folder / "tokenizer.json").is_file():
        return {}
    added = {t["content"]: t["id"] for t in read_json(folder / "tokenizer.json").get("added_tokens", [])}
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}

    def lookup(key: str) -> int | None:
        token = settings.get(key)
        return added.get(token["content"] if isinstance(token, dict) else token)

    ids = {f"{key}_token_id": lookup(f"{key}_token") for key in ("bos", "eos", "pad")}
    ends = [i for i in (ids["eos_token_id"], added.get("<|end|>")) if i is not None]
    return {**{k: v for k, v in ids.items() if v is not None}, "end": list(dict.fromkeys(ends))}


def chat_template_hash(folder: Path) -> str | None:
    """sha256 of the chat template, wherever the tokenizer keeps it."""
    if (folder / "chat_template.jinja").is_file():
        return sha256(folder / "chat_template.jinja")
    path = folder / "tokenizer_config.json"
    template = read_json(path).get("chat_template") if path.is_file() else None
    return None if template is None else digest(template)


def save_model(
    state: dict[str, Tensor],
    arch: Architecture,
    vocab_size: int,
    tokenizer_folder: str | Path | None,
    out: str | Path,
    phase: str,
    scheme: str = "bf16",
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a model folder into ``out`` (made if need be; ``artifacts.atomic_folder`` makes the whole atomic).

    Raises ArtifactError naming tensors that are missing, extra or mis-shaped.
    """
    out, tokenizer = Path(out), None if tokenizer_folder is None else Path(tokenizer_folder)
    out.mkdir(parents=True, exist_ok=True)
    check_state(state, expected_shapes(arch, vocab_size), f"the weights of {out.name}")
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in sorted(state.items())}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    ids = special_ids(tokenizer)
    ends = ids.pop("end", [])
    config = llama_config(arch, vocab_size) if is_llama(arch) else pocketlm_config(arch, vocab_size)
    write_json(out / "config.json", {**config, **ids, "dtype": str(dtype).removeprefix("torch.")})
    write_json(out / "generation_config.json", {**ids, **({"eos_token_id": ends} if ends else {})})
    if not is_llama(arch):
        copy_code(out)
    about: dict[str, Any] = {"architecture": shape_of(arch), "vocab_size": vocab_size, "phase": phase, "scheme": scheme}
    if tokenizer is not None:
        copy_tokenizer(tokenizer, out)
        about["tokenizer_sha256"] = sha256(tokenizer / "tokenizer.json")
        about["chat_template_sha256"] = chat_template_hash(tokenizer)
    write_json(out / "pocketlm.json", about)


def copy_tokenizer(source: Path, out: Path) -> None:
    """Copy the tokenizer's files; ArtifactError if there is none."""
    if not (source / "tokenizer.json").is_file():
        raise ArtifactError(f"{source}: no tokenizer.json in it; give the folder of a fast tokenizer")
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def copy_code(out: Path) -> None:
    """Put the files that the decoder needs beside its weights."""
    here = Path(__file__).parent
    for name in CODE:
        shutil.copyfile(here / name, out / name)
    shutil.copyfile(here / "hf.py", out / MODELING)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors, single or sharded. Pickles are refused."""
    index = folder / "model.safetensors.index.json"
    names = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else ["model.safetensors"]
    state: dict[str, Tensor] = {}
    for name in names:
        if not (folder / name).is_file():
            pickled = sorted(p.name for p in folder.glob("pytorch_model*.bin"))
            remedy = f"make safetensors of it: pocketlm convert {folder} --out NEW_FOLDER"
            hint = f"; {pickled[0]} is a pickle, which can run code; {remedy}" if pickled else ""
            raise ArtifactError(f"{folder / name}: no such file{hint}")
        try:
            state |= load_file(folder / name)
        except Exception as error:
            raise ArtifactError(f"{folder / name}: damaged safetensors ({error}); fetch or make it again") from None
    return state


def architecture_of(about: dict[str, Any]) -> Architecture:
    """The architecture in pocketlm.json."""
    known = {f.name for f in dataclasses.fields(Architecture)}
    return Architecture(**{k: v for k, v in about["architecture"].items() if k in known})


def load_model(
    folder: str | Path, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> tuple[Decoder, Architecture, dict[str, Any]]:
    """(decoder in evaluation mode, architecture, contents of pocketlm.json) of a folder that ``save_model`` wrote."""
    folder = Path(folder)
    if not (folder / "pocketlm.json").is_file():
        raise ArtifactError(f"{folder}: no pocketlm.json in it; bring a foreign checkpoint in with: pocketlm import")
    about = json.loads((folder / "pocketlm.json").read_text(encoding="utf-8"))
    arch = architecture_of(about)
    state = read_tensors(folder)
    check_state(state, expected_shapes(arch, about["vocab_size"]), str(folder))
    return build(state, arch, about["vocab_size"], dtype, device), arch, about


def build(state: dict[str, Tensor], arch: Architecture, vocab_size: int, dtype: torch.dtype, device: str) -> Decoder:
    """A decoder around these tensors, without making other ones first."""
    with torch.device("meta"):
        decoder = Decoder(arch, vocab_size, seed=None)
    decoder.load_state_dict({k: t.to(device, dtype) for k, t in state.items()}, assign=True)
    return decoder.requires_grad_(True).eval()
