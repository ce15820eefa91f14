"""A trained model to inherit from, its calibration batches, and units of it that are made to compute nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from model_shapes import VOCAB

from pocketlm.config import Architecture
from pocketlm.inheritance import units
from pocketlm.model.decoder import Decoder

BIG: dict[str, Any] = {"n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "head_dim": 12, "d_ff": 80}


def batches(count: int = 3) -> list[units.Batch]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(VOCAB, (count, 4, 17), generator=generator)
    return [(row[:, :-1], row[:, 1:], None) for row in rows]


def small(source: Decoder, **sizes: Any) -> Architecture:
    return replace(source.arch, **sizes)


@torch.no_grad()
def kill(source: Decoder, block: int, heads: list[int] = [], neurons: list[int] = []) -> None:  # noqa: B006
    """Units that compute nothing: what reads their output is zero."""
    layer, size = source.model.layers[block], source.arch.head_dim
    for head in heads:
        layer.self_attn.o_proj.weight[:, head * size : (head + 1) * size] = 0
    layer.mlp.down_proj.weight[:, neurons] = 0
