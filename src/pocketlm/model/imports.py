"""Key maps between foreign checkpoints and ours, both ways, bit-exact; and the checks of what comes in.

Llama, MobileLLM and PhoneLM all use Llama's tensor names; they differ in their config.json, and in what is *not* said
there. What an importing or exporting layout cannot express is refused by the option's name, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.config import Architecture

LAYOUTS = ("llama", "mobilellm", "phonelm")


def expected_shapes(arch: Architecture, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """{tensor name: shape} of a decoder, in its order."""
    d, q, kv = arch.d_model, arch.n_heads * arch.head_dim, arch.n_kv_heads * arch.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab_size, d)}
    for layer in range(arch.n_layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in block_shapes(arch, d, q, kv).items()}
    shapes["model.norm.weight"] = (d,)
    if not arch.tied:
        shapes["lm_head.weight"] = (vocab_size, d)
    return shapes


def block_shapes(arch: Architecture, d: int, q: int, kv: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one block."""
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (d,),
        "self_attn.q_proj.weight": (q, d),
        "self_attn.k_proj.weight": (kv, d),
        "self_attn.v_proj.weight": (kv, d),
        "self_attn.o_proj.weight": (d, q),
        "post_attention_layernorm.weight": (d,),
        "mlp.up_proj.weight": (arch.d_ff, d),
        "mlp.down_proj.weight": (d, arch.d_ff),
    }
    if arch.gated:
        shapes["mlp.gate_proj.weight"] = (arch.d_ff, d)
    if arch.series:
        shapes["mlp.series_scale"] = shapes["mlp.series_bias"] = (arch.series, arch.d_ff)
    inner = max(1, d // arch.shortcut_ratio)
    for i in range(arch.shortcuts):
        shapes[f"self_attn.shortcuts.{i}.down_proj.weight"] = (inner, d)
        shapes[f"self_attn.shortcuts.{i}.up_proj.weight"] = (d, inner)
    return shapes


def some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def check_state(state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise ArtifactError naming missing, extra and mis-shaped tensors."""
    problems = []
    if missing := [n for n in shapes if n not in state]:
        problems.append(f"missing: {some(missing)}")
    if extra := sorted(n for n in state if n not in shapes):
        problems.append(f"not in this architecture: {some(extra)}")
    wrong = [n for n, shape in shapes.items() if n in state and tuple(state[n].shape) != shape]
    if wrong:
        problems.append("; ".join(f"{n} has shape {tuple(state[n].shape)}, not {shapes[n]}" for n in wrong[:4]))
    if problems:
        raise ArtifactError(f"{where}: tensors do not fit the configuration: " + "; ".join(problems))


def refuse(where: str, option: str, value: Any, remedy: str) -> ArtifactError:
    return ArtifactError(f"{where}: {option}={value!r} cannot be expressed: {remedy}")


def read_config(config: Mapping[str, Any], where: str) -> tuple[Architecture, int]:
    """(architecture, vocabulary) of a Llama, MobileLLM or PhoneLM config.json. ArtifactError for what we cannot say."""
    layout = config.get("model_type", "")
    if layout not in LAYOUTS:
        raise ArtifactError(f"{where}: model_type {layout!r} cannot be imported; one of {', '.join(LAYOUTS)} can")
    for option in ("attention_bias", "mlp_bias"):
        if config.get(option):
            raise refuse(where, option, config[option], "the decoder has no biases")
    if config.get("attention_dropout"):
        raise refuse(where, "attention_dropout", config["attention_dropout"], "set it to 0.0; it acts in training only")
    whole_rotation(config, where)
    try:
        return shape(config, layout, where), int(config["vocab_size"])
    except KeyError as error:
        raise ArtifactError(f"{where}: key {error.args[0]!r} is missing; the checkpoint's config.json has it") from None


def shape(config: Mapping[str, Any], layout: str, where: str) -> Architecture:
    """The architecture of a validated layout."""
    heads = int(config["num_attention_heads"])
    activation = config.get("hidden_act", "silu")
    if activation not in ("silu", "relu", "gelu"):
        raise refuse(where, "hidden_act", activation, "silu, relu and gelu can be imported")
    return Architecture(
        kind="imported",
        n_layers=int(config["num_hidden_layers"]),
        d_model=int(config["hidden_size"]),
        n_heads=heads,
        n_kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        d_ff=int(config["intermediate_size"]),
        activation=activation,
        gated=True,
        tied=tied(config, layout),
        sharing=sharing(config, layout, where),
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=theta(config, where),
        rope_int8=layout == "phonelm",
        init_std=float(config.get("initializer_range", 0.02)),
        max_seq_len=int(config.get("max_position_embeddings", 2048)),
    )


def tied(config: Mapping[str, Any], layout: str) -> bool:
    """MobileLLM says ``tie_word_embeddings: false`` and ties by ``share_embedding``, on by default in its code."""
    if layout == "mobilellm" or "share_embedding" in config:
        return bool(config.get("share_embedding", True))
    return bool(config.get("tie_word_embeddings", False))


def sharing(config: Mapping[str, Any], layout: str, where: str) -> int:
    """MobileLLM's ``layer_sharing`` is on by default in its training script and off in its evaluation script.

    The tensors are the same in both cases, so that a config.json without the flag says nothing: refused.
    """
    if layout != "mobilellm" and "layer_sharing" not in config:
        return 1
    if "layer_sharing" not in config:
        raise ArtifactError(
            f"{where}: layer_sharing is missing, and MobileLLM's own scripts disagree about it; "
            "write true (LS models) or false into config.json"
        )
    if not isinstance(config["layer_sharing"], bool):
        raise refuse(
            where, "layer_sharing", config["layer_sharing"], "true (each block twice) or false can be imported"
        )
    return 2 if config["layer_sharing"] else 1


def theta(config: Mapping[str, Any], where: str) -> float:
    """RoPE's base, of transformers 4 (``rope_theta``) or 5 (``rope_parameters``). Scaling is refused in both."""
    base = config.get("rope_theta", 10000.0)
    for part in (config.get("rope_scaling"), config.get("rope_parameters")):
        kind = (part or {}).get("rope_type", (part or {}).get("type", "default"))
        if kind != "default":
            raise refuse(where, "rope_scaling", kind, "only unscaled RoPE can be imported")
        base = (part or {}).get("rope_theta", base)
    return float(base)


def whole_rotation(config: Mapping[str, Any], where: str) -> None:
    """Refuse a rotation of a part of each head: ours turns all of its channels."""
    for part in (config, config.get("rope_parameters") or {}):
        share = part.get("partial_rotary_factor")
        if share not in (None, 1.0):
            raise refuse(where, "partial_rotary_factor", share, "RoPE turns whole heads here")


def from_foreign(state: Mapping[str, Any], arch: Architecture, vocab_size: int, where: str) -> dict[str, Any]:
    """Our tensors of a foreign checkpoint: position tables and the second copy of a tied head are left out."""
    ours = {n: t for n, t in state.items() if not n.endswith("rotary_emb.inv_freq")}
    head = ours.get("lm_head.weight")
    if arch.tied and head is not None:
        if not bool((head == ours["model.embed_tokens.weight"]).all()):
            raise ArtifactError(
                f"{where}: tied embeddings, but lm_head.weight differs from model.embed_tokens.weight; "
                "set tie_word_embeddings (MobileLLM: share_embedding) to false in config.json"
            )
        del ours["lm_head.weight"]
    if not arch.tied and head is None:
        raise ArtifactError(
            f"{where}: untied embeddings, but lm_head.weight is missing; a checkpoint that shares its embedding needs "
            "tie_word_embeddings: true in config.json (MobileLLM's own configs: share_embedding: true)"
        )
    check_state(ours, expected_shapes(arch, vocab_size), where)
    return ours


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
    from pocketlm.model.folder import llama_config

    config = {**llama_config(arch, vocab_size), "model_type": layout, "hidden_act": arch.activation}
    if layout == "mobilellm":
        config |= {"share_embedding": arch.tied, "layer_sharing": arch.sharing == 2, "tie_word_embeddings": False}
    names = {"llama": "LlamaForCausalLM", "mobilellm": "MobileLLMForCausalLM", "phonelm": "PhoneLMForCausalLM"}
    return {**config, "architectures": [names[layout]]}


def import_config(folder: str | Path) -> tuple[Architecture, int]:
    """(architecture, vocabulary) of a local Llama, MobileLLM, PhoneLM or PocketLM folder, from its config.json."""
    from pocketlm.model.folder import architecture_of

    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no config.json in it; architecture.path must be a Hugging Face model folder")
    config = read_json(path)
    if config.get("model_type") == "pocketlm":
        return architecture_of(config), int(config["vocab_size"])
    return read_config(config, str(path))


def import_folder(folder: str | Path) -> tuple[dict[str, Any], Architecture, int]:
    """(state, architecture, vocabulary) of a local Llama, MobileLLM or PhoneLM folder with safetensors."""
    from pocketlm.model.folder import read_tensors

    arch, vocab_size = import_config(folder)
    return from_foreign(read_tensors(Path(folder)), arch, vocab_size, str(folder)), arch, vocab_size
