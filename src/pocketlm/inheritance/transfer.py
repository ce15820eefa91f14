"""The target's first weights, cut out of the source's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pocketlm.config import Architecture
from pocketlm.inheritance.units import Scores, best, keep_heads


@dataclass
class Kept:
    """Numbers of what stays, ascending: blocks, channels, and of every kept block its heads and neurons."""

    blocks: list[int]
    channels: Tensor
    queries: list[Tensor]
    pairs: list[Tensor]
    neurons: list[Tensor]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        parts = {name: [kept.tolist() for kept in getattr(self, name)] for name in ("queries", "pairs", "neurons")}
        return {"blocks": self.blocks, "channels": self.channels.tolist(), **parts}


def choose(scores: Scores, blocks: list[int], target: Architecture) -> Kept:
    """The best units of the kept blocks, as many as the target has."""
    heads = [keep_heads(scores.queries[n], scores.pairs[n], target.n_heads, target.n_kv_heads) for n in blocks]
    return Kept(
        blocks,
        best(scores.channels, target.d_model),
        [queries for queries, _ in heads],
        [pairs for _, pairs in heads],
        [best(scores.neurons[n], target.d_ff) for n in blocks],
    )


def spread(heads: Tensor, head_dim: int) -> Tensor:
    """Rows of these heads."""
    return (heads[:, None] * head_dim + torch.arange(head_dim)).flatten()


def cut(state: dict[str, Tensor], kept: Kept, target: Architecture) -> dict[str, Tensor]:
    """The target's tensors; each is taken out of the source by its kept rows and columns, none is changed."""
    channels = kept.channels
    out = {"model.embed_tokens.weight": state["model.embed_tokens.weight"][:, channels]}
    for number, source in enumerate(kept.blocks):
        queries, pairs = (spread(heads[number], target.head_dim) for heads in (kept.queries, kept.pairs))
        rows = {"self_attn.q_proj": queries, "self_attn.k_proj": pairs, "self_attn.v_proj": pairs}
        rows |= {"mlp.up_proj": kept.neurons[number], "mlp.gate_proj": kept.neurons[number]}
        columns = {"self_attn.o_proj": queries, "mlp.down_proj": kept.neurons[number]}
        prefix = f"model.layers.{source}."
        for name in (name for name in state if name.startswith(prefix)):
            part = name.removeprefix(prefix)
            owner = part.removesuffix(".weight")
            value = state[name]
            if owner in rows:
                value = value[rows[owner]][:, channels]
            elif owner in columns:
                value = value[channels][:, columns[owner]]
            elif "series" in owner:
                value = value[:, kept.neurons[number]]
            else:
                value = value[channels]
            out[f"model.layers.{number}.{part}"] = value
    out["model.norm.weight"] = state["model.norm.weight"][channels]
    if not target.tied:
        head = state.get("lm_head.weight", state["model.embed_tokens.weight"])
        out["lm_head.weight"] = head[:, channels]
    return out  # copies: whatever is picked by numbers is
