"""Which modules of a decoder are quantized: shared by writing and reading."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def linears(decoder: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers that are quantized, by name, in order: all but the output head."""
    return {n: m for n, m in decoder.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}


def by_layer(names: Iterable[str]) -> list[list[str]]:
    """Names of one decoder layer together (``model.layers.3.…``), in order."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(".".join(name.split(".")[:3]), []).append(name)
    return list(layers.values())
