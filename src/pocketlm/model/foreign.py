"""Foreign config.json files as our architecture: Llama, MobileLLM, PhoneLM.

All three use Llama's tensor names; they differ in their config.json, and in what is *not* said there. What the decoder
cannot express is refused by the option's name, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pocketlm.allowed import problems
from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.checks.shapes import impossible
from pocketlm.config import Architecture
from pocketlm.model.foreign_keys import flag, need, number, refuse, refuse_unknown, whole

LAYOUTS = ("llama", "mobilellm", "phonelm")
FLAGS = {"share_embedding", "layer_sharing"}  # of MobileLLM's code
BOTH = (
    "MobileLLM's code has two flags, and config.json must hold them: share_embedding (true: the output head is the "
    "embedding) and layer_sharing (true: an LS model, each block runs twice in a row; false: once)"
)
ROPE = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}  # keys of RoPE's parameters without scaling
NAMES = {"n_heads": "num_attention_heads", "n_kv_heads": "num_key_value_heads", "d_model": "hidden_size"}


def import_config(folder: str | Path) -> tuple[Architecture, int]:
    """(architecture, vocabulary) of a local Llama, MobileLLM, PhoneLM or PocketLM folder, from its config.json."""
    from pocketlm.model.folder import architecture_of

    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no config.json in it; architecture.path must be a Hugging Face model folder")
    config = read_json(path)
    if not isinstance(config, dict):
        raise ArtifactError(f"{path}: no JSON object, but {type(config).__name__}; take the checkpoint's own")
    if config.get("model_type") != "pocketlm":
        return read_config(config, str(path))
    if not isinstance(need(config, "architecture", str(path)), dict):
        raise ArtifactError(f"{path}: architecture: no JSON object; take the checkpoint's own")
    return possible(architecture_of(config), str(path), {}), whole(config, "vocab_size", str(path))


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
    refuse_unknown(config, where)
    return possible(shape(config, layout, where), where, NAMES), whole(config, "vocab_size", where)


def possible(arch: Architecture, where: str, names: Mapping[str, str]) -> Architecture:
    """The architecture, if a decoder can have it: what is asked of a named one too."""
    for field, problem in chain(problems(arch), impossible(arch, names)):
        raise ArtifactError(f"{where}: {names.get(field, field)}: {problem}")
    return arch


def shape(config: Mapping[str, Any], layout: str, where: str) -> Architecture:
    """The architecture of a layout. Where a key is absent, the value of transformers' Llama, whose classes these are.

    Not so PhoneLM's activation and tying: its models have neither of Llama's.
    """
    heads = whole(config, "num_attention_heads", where)
    activation = need(config, "hidden_act", where) if layout == "phonelm" else config.get("hidden_act") or "silu"
    if activation not in ("silu", "relu", "gelu"):
        raise refuse(where, "hidden_act", activation, "silu, relu and gelu can be imported")
    tied, sharing = shared(config, layout, where)
    return Architecture(
        kind="imported",
        n_layers=whole(config, "num_hidden_layers", where),
        d_model=whole(config, "hidden_size", where),
        n_heads=heads,
        n_kv_heads=whole(config, "num_key_value_heads", where, default=heads),
        head_dim=head_size(config, heads, where),
        d_ff=whole(config, "intermediate_size", where),
        activation=activation,
        gated=True,
        tied=tied,
        sharing=sharing,
        norm_eps=number(config, "rms_norm_eps", where, 1e-6),
        rope_theta=theta(config, where),
        rope_int8=layout == "phonelm",
        init_std=number(config, "initializer_range", where, 0.02),
        max_seq_len=whole(config, "max_position_embeddings", where, default=2048),
    )


def head_size(config: Mapping[str, Any], heads: int, where: str) -> int:
    """``head_dim``, or the width over the heads where it is absent."""
    if config.get("head_dim") is not None:
        return whole(config, "head_dim", where)
    width = whole(config, "hidden_size", where)
    if width % heads:
        raise ArtifactError(
            f"{where}: num_attention_heads: {heads} does not divide hidden_size {width}, and head_dim is not given"
        )
    return width // heads


def shared(config: Mapping[str, Any], layout: str, where: str) -> tuple[bool, int]:
    """(embedding and head are one, executions of each block in a row).

    MobileLLM says ``tie_word_embeddings: false`` and ties by ``share_embedding``, on by default in its code. Its
    ``layer_sharing`` is on by default in its training script and off in its evaluation script; the tensors are the same
    in both cases, so that a config.json without it says nothing: refused, whatever its model_type. The authors' own
    files have model_type ``llama`` and neither flag: nothing in them tells them from a Llama.
    """
    if layout != "mobilellm" and not any(config.get(name) is not None for name in FLAGS):
        return flag(config, "tie_word_embeddings", where, default=None if layout == "phonelm" else False), 1
    if config.get("layer_sharing") is None:
        raise ArtifactError(f"{where}: layer_sharing is missing, and MobileLLM's scripts disagree about it. {BOTH}")
    tied = flag(config, "share_embedding", where, default=True)
    if config.get("tie_word_embeddings") and not tied:
        raise ArtifactError(f"{where}: share_embedding is false and tie_word_embeddings true; they contradict. {BOTH}")
    return tied, 2 if flag(config, "layer_sharing", where) else 1


def theta(config: Mapping[str, Any], where: str) -> float:
    """RoPE's base, of transformers 4 (``rope_theta``) or 5 (``rope_parameters``).

    Scaling, a rotation of a part of each head, and parameters by kind of layer are refused.
    """
    base = number(config, "rope_theta", where, 10000.0)
    whole_rotation(config, where)
    for name in ("rope_scaling", "rope_parameters"):
        part = config.get(name) or {}
        if not isinstance(part, dict) or any(isinstance(value, dict) for value in part.values()):
            raise refuse(where, name, part, "one set of parameters for all layers can be imported")
        kind = part.get("rope_type") or part.get("type") or "default"
        if kind != "default":
            raise refuse(where, "rope_scaling", kind, "only unscaled RoPE can be imported")
        for option in sorted(name for name, value in part.items() if name not in ROPE and value is not None):
            raise refuse(where, f"{name}.{option}", part[option], "only unscaled RoPE can be imported")
        whole_rotation(part, where)
        own = number(part, "rope_theta", where, base)
        if own != base and config.get("rope_theta") is not None:
            raise ArtifactError(f"{where}: rope_theta is {base:g} and {name}.rope_theta {own:g}; leave the right one")
        base = own
    return base


def whole_rotation(part: Mapping[str, Any], where: str) -> None:
    """Refuse a rotation of a part of each head: ours turns all of its channels."""
    share = part.get("partial_rotary_factor")
    if isinstance(share, bool) or share not in (None, 1.0):
        raise refuse(where, "partial_rotary_factor", share, "RoPE turns whole heads here")
