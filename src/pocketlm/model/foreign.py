"""Foreign config.json files as our architecture: Llama, MobileLLM, PhoneLM.

All three use Llama's tensor names; they differ in their config.json, and in what is *not* said there. What the decoder
cannot express is refused by the option's name, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.config import Architecture

LAYOUTS = ("llama", "mobilellm", "phonelm")


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
