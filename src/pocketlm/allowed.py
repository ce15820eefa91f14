"""Single values of ``params.yaml`` that are possible: enumerations, signs, shares. Combinations: ``checks``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

CHOICES = {
    "Numerics.device": ("cpu", "cuda"),
    "Numerics.precision": ("fp32", "bf16"),
    "Numerics.parallel": ("ddp", "fsdp"),
    "Source.kind": ("url", "path", "hub", "embedded"),
    "Corpus.kind": ("text", "chat"),
    "Part.split": ("all", "train", "heldout"),
    "Tokenizer.kind": ("bpe", "imported", "compressed"),
    "Architecture.kind": ("named", "searched", "imported"),
    "Architecture.activation": ("silu", "relu", "relu2", "gelu"),
    "Space.activation": ("silu", "relu", "relu2", "gelu"),
    "Plan.optimizer": ("muon", "adamw"),
    "Plan.schedule": ("cosine", "wsd", "linear", "constant"),
    "Plan.decay_shape": ("linear", "exponential"),
    "Inherit.phase": ("base", "instruct", "call"),
    "Inherit.layers": ("skip", "taylor"),
    "Inherit.units": ("l1", "l2", "taylor", "mask"),
    "Device.kind": ("local", "ssh", "adb"),
    "Device.runtime": ("torch", "llamacpp"),
    "Profile.runtimes": ("torch", "llamacpp"),
    "Deployment.phase": ("base", "instruct", "call"),
    "Deployment.scheme": ("bf16", "int8", "w8a8", "int4", "gguf_q8_0", "gguf_q4_0"),
    "Deployment.runtime": ("torch", "llamacpp"),
    "Quantization.method": ("rtn", "gptq"),
    "Claim.metric": ("bits_per_byte", "decode_tok_s", "prefill_tok_s"),
    "Suite.phases": ("base", "instruct", "call"),
}
POSITIVE = {  # above 0
    "Architecture": "n_layers d_model n_heads n_kv_heads head_dim d_ff sharing norm_eps rope_theta init_std "
    "max_seq_len shortcut_ratio",
    "Corpus": "shards",
    "Device": "threads repeats new_tokens calibration prompts",
    "Inherit": "batches mask_steps mask_lr",
    "Numerics": "threads world_size",
    "Part": "weight limit",
    "Plan": "seq_len batch_size steps lr muon_lr rounds checkpoint_every micro_batch log_every validation_batches",
    "Quantization": "group_size",
    "Rung": "slots steps",
    "Space": "n_layers d_model head_dim kv_share ffn_ratio sharing",
    "Suite": "batch_size max_new_tokens",
    "Task": "limit",
    "World": "people places objects stories dialogues calls items",
}
SIGNED = {"Claim.effect"}  # every other number is at least 0
SHARES = {
    "Plan.floor",
    "Plan.decay",
    "Plan.round_share",
    "Plan.beta1",
    "Plan.beta2",
    "Part.heldout",
    "Corpus.validation",
}


def problems(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) of every value that is impossible by itself, in a section and all below it."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from problems(entry, f"{key}.{name}")
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from problems(entry, f"{key}[{position}]")
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner, path = getattr(value, field.name), f"{key}.{field.name}".lstrip(".")
            for one in inner if isinstance(inner, list) else [inner]:
                wrong = problem(one, type(value).__name__, field.name)
                if wrong:
                    yield path, wrong
            yield from problems(inner, path)


def problem(value: Any, group: str, field: str) -> str | None:
    """What is wrong with one value of ``group.field``; None if nothing is."""
    kind = f"{group}.{field}"
    if value is None:
        return None
    if kind in CHOICES and value not in CHOICES[kind]:
        return f"{value!r} is none of: {', '.join(CHOICES[kind])}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value):
        return "must be a finite number"
    positive = field in POSITIVE.get(group, "").split()
    if kind in SIGNED:
        return None
    if value < 0 or (positive and value == 0):
        return f"{value} must be {'above 0' if positive else 'at least 0'}"
    return f"{value} is a share and must be at most 1" if kind in SHARES and value > 1 else None
