"""A model folder of ours as a checkpoint of a foreign layout: the same tensors under another config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from pocketlm.artifacts import ArtifactError, read_json, write_json
from pocketlm.config import Architecture
from pocketlm.model.folder import architecture_of, copy_tokenizer, llama_config, read_tensors, special_ids
from pocketlm.model.foreign_keys import refuse
from pocketlm.model.state import check_state, expected_shapes


def to_foreign(arch: Architecture, vocab_size: int, layout: str) -> dict[str, Any]:
    """config.json of a foreign layout; the tensors are ours as they are. ArtifactError for what it cannot express."""
    where = f"export to {layout}"
    wanted: dict[str, Any] = {"gated": True, "series": 0, "shortcuts": 0, "rope_int8": layout == "phonelm"}
    if layout != "mobilellm":
        wanted["sharing"] = 1
    if layout != "phonelm":
        wanted["activation"] = "silu"
    for option, value in wanted.items():
        if getattr(arch, option) != value:
            raise refuse(where, option, getattr(arch, option), f"the {layout} layout has {option}={value!r} only")
    if arch.sharing > 2:
        raise refuse(where, "sharing", arch.sharing, "MobileLLM's layer_sharing means 2")
    if arch.activation == "relu2":
        raise refuse(where, "activation", arch.activation, "PhoneLM's layout has silu, relu and gelu")
    if arch.d_model != arch.n_heads * arch.head_dim and layout != "llama":
        raise refuse(where, "head_dim", arch.head_dim, f"the {layout} layout has d_model / n_heads only")
    if arch.d_model % arch.n_heads:
        raise refuse(where, "n_heads", arch.n_heads, f"it must divide d_model ({arch.d_model}) in the {layout} layout")
    config = {**llama_config(arch, vocab_size), "model_type": layout, "hidden_act": arch.activation}
    if layout == "mobilellm":
        config |= {"share_embedding": arch.tied, "layer_sharing": arch.sharing == 2, "tie_word_embeddings": False}
    names = {"llama": "LlamaForCausalLM", "mobilellm": "MobileLLMForCausalLM", "phonelm": "PhoneLMForCausalLM"}
    return {**config, "architectures": [names[layout]]}


def export_folder(folder: Path, layout: str, out: Path) -> None:
    """Write ``folder`` into ``out`` (there already) in a layout of ``foreign.LAYOUTS``; the tokenizer goes with it.

    Raises ArtifactError naming the option that the layout cannot express, or what is no model folder or quantized.
    """
    if not (folder / "pocketlm.json").is_file():
        raise ArtifactError(f"{folder}: no pocketlm.json in it; name a model folder, results/models/MODEL/PHASE")
    about = read_json(folder / "pocketlm.json")
    arch, vocab_size = architecture_of(about), int(about["vocab_size"])
    if about["scheme"] != "bf16":
        raise ArtifactError(
            f"{folder}: scheme={about['scheme']!r} cannot be expressed: export the phase it was quantized from"
        )
    config = to_foreign(arch, vocab_size, layout)
    state = read_tensors(folder)
    check_state(state, expected_shapes(arch, vocab_size), str(folder))
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    ids = special_ids(folder)
    ends = ids.pop("end", [])
    dtype = str(state["model.norm.weight"].dtype).removeprefix("torch.")
    write_json(out / "config.json", {**config, **ids, "dtype": dtype})
    write_json(out / "generation_config.json", {**ids, **({"eos_token_id": ends} if ends else {})})
    if (folder / "tokenizer.json").is_file():
        copy_tokenizer(folder, out)
