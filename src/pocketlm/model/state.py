"""The tensors of a decoder as names and shapes: what its weights must be, wherever they come from.

Nearly every stage reads weights, so that this file holds what all of them need and nothing of foreign layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture


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
