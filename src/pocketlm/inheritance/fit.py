"""Which model can inherit from which; before any weight is read."""

from __future__ import annotations

from collections.abc import Iterator

from pocketlm.schema import Architecture

SIZES = ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff")
SAME = (
    "head_dim", "gated", "activation", "sharing", "series", "shortcuts", "rope_theta", "rope_int8", "norm_eps",
)  # fmt: skip


def misfits(source: Architecture, target: Architecture) -> Iterator[str]:
    """What keeps ``target`` from inheriting: a size above the source's, or an option that must be the same.

    Heads are chosen in groups that share a key/value head, so that a group's queries must not grow either.
    """
    for name in SIZES:
        wanted, there = getattr(target, name), getattr(source, name)
        if wanted > there:
            yield f"{name}={wanted} is above the source's {there}"
    for name in SAME:
        wanted, there = getattr(target, name), getattr(source, name)
        if wanted != there:
            yield f"{name}={wanted!r} must be the source's {there!r}"
    if target.tied and not source.tied:
        yield "tied=True would drop the source's head, which is a matrix of its own; write tied: false"
    wanted, there = (arch.n_heads // arch.n_kv_heads for arch in (target, source))
    if wanted > there:
        yield f"{wanted} query heads share a kv head, and {there} do in the source"
    if source.shortcuts:
        yield f"shortcuts={source.shortcuts}: a bottleneck cannot be cut; inherit between models without shortcuts"
