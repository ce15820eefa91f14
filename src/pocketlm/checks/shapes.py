"""Shapes that no decoder can have: of a named architecture, and of one that a checkpoint's config.json describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pocketlm.schema import Architecture


def impossible(arch: Architecture, names: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """(field, problem) of what does not divide; ``names``: what other fields are called where the shape was read."""
    called = names or {}
    if arch.n_heads % arch.n_kv_heads:
        heads = called.get("n_heads", "n_heads")
        yield "n_kv_heads", f"{arch.n_kv_heads} does not divide {heads} {arch.n_heads}"
    if arch.head_dim % 2:
        yield "head_dim", f"{arch.head_dim} is odd, and rotary positions turn pairs; make it even"
    if arch.shortcuts and arch.d_model % arch.shortcut_ratio:
        width = called.get("d_model", "d_model")
        yield "shortcut_ratio", f"{arch.shortcut_ratio} does not divide {width} {arch.d_model}"
