"""A slow formulation of the decoder, written from the papers: one sequence, one head, one position at a time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + eps) * weight


def act(x: Tensor, name: str) -> Tensor:
    if name == "silu":
        return x / (1 + torch.exp(-x))
    if name == "gelu":
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    positive = torch.where(x > 0, x, torch.zeros_like(x))
    return positive if name == "relu" else positive * positive


def rotation(position: int, arch: Any) -> Tensor:
    """The matrix [head_dim, head_dim] that turns pairs (i, i + head_dim / 2) by position / theta^(2 i / head_dim)."""
    half = arch.head_dim // 2
    rows = [[0.0] * arch.head_dim for _ in range(arch.head_dim)]
    for i in range(half):
        angle = position / arch.rope_theta ** (2 * i / arch.head_dim)
        c, s = math.cos(angle), math.sin(angle)
        if arch.rope_int8:
            c, s = round(c * 127) / 127, round(s * 127) / 127
        rows[i][i], rows[i][i + half], rows[i + half][i + half], rows[i + half][i] = c, -s, c, s
    return torch.tensor(rows)


def attention(z: Tensor, w: dict[str, Tensor], arch: Any, documents: list[int], positions: list[int]) -> Tensor:
    """z [T, D]; every head and query on its own."""
    hd, group = arch.head_dim, arch.n_heads // arch.n_kv_heads
    q, k, v = (z @ w[f"self_attn.{n}_proj.weight"].T for n in "qkv")
    turns = [rotation(p, arch) for p in positions]
    rows: list[list[Tensor]] = [[] for _ in z]
    for h in range(arch.n_heads):
        g = h // group
        keys = torch.stack([turn @ row for turn, row in zip(turns, k[:, g * hd : (g + 1) * hd], strict=True)])
        for t in range(len(z)):
            seen = [s for s in range(t + 1) if documents[s] == documents[t]]
            p = torch.softmax(keys[seen] @ (turns[t] @ q[t, h * hd : (h + 1) * hd]) / math.sqrt(hd), 0)
            rows[t].append(p @ v[seen, g * hd : (g + 1) * hd])
    out = torch.stack([torch.cat(heads) for heads in rows]) @ w["self_attn.o_proj.weight"].T
    for i in range(arch.shortcuts):
        inner = act(z @ w[f"self_attn.shortcuts.{i}.down_proj.weight"].T, "gelu")
        out = out + inner @ w[f"self_attn.shortcuts.{i}.up_proj.weight"].T
    return out


def ffn(z: Tensor, w: dict[str, Tensor], arch: Any) -> Tensor:
    first = z @ w["mlp.gate_proj.weight" if arch.gated else "mlp.up_proj.weight"].T
    if arch.series:
        scales, biases = w["mlp.series_scale"], w["mlp.series_bias"]
        hidden = torch.stack([act(scales[i] * first + biases[i], arch.activation) for i in range(arch.series)]).sum(0)
    else:
        hidden = act(first, arch.activation)
    if arch.gated:
        hidden = hidden * (z @ w["mlp.up_proj.weight"].T)
    return hidden @ w["mlp.down_proj.weight"].T


def logits(state: dict[str, Tensor], arch: Any, ids: list[int], documents: list[int] | None = None) -> Tensor:
    """Logits [T, V] of one sequence."""
    documents = documents or [0] * len(ids)
    starts = [max(s for s in range(t + 1) if s == 0 or documents[s] != documents[s - 1]) for t in range(len(ids))]
    positions = [t - s for t, s in enumerate(starts)]
    x = state["model.embed_tokens.weight"][ids]
    for layer in range(arch.n_layers):
        prefix = f"model.layers.{layer}."
        w = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        for _ in range(arch.sharing):
            x = x + attention(norm(x, w["input_layernorm.weight"], arch.norm_eps), w, arch, documents, positions)
            x = x + ffn(norm(x, w["post_attention_layernorm.weight"], arch.norm_eps), w, arch)
    head = state["model.embed_tokens.weight" if arch.tied else "lm_head.weight"]
    return norm(x, state["model.norm.weight"], arch.norm_eps) @ head.T
