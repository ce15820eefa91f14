"""Filters the space by budget and fills the first rung: anchors, then candidates spread along the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlm.config import Architecture, ConfigError, Search, as_dict
from pocketlm.model import counts
from pocketlm.profiling.predictor import Predictor, columns
from pocketlm.profiling.shapes import as_point
from pocketlm.search.pareto import front_mask
from pocketlm.search.space import Candidates, costs, counted, enumerate_space, memory_mib, within

POOL_SLACK = 0.15  # candidates with so much less capacity than the front at their latency still take part
SHARED_WORTH = 0.5  # capacity grows with executions of a shared block by this power: compute without parameters

Floats = NDArray[np.float64]


def propose(
    search: Search, anchors: Mapping[str, Architecture], vocabularies: Mapping[str, int], predictor: Predictor
) -> dict[str, Any]:
    """The proposal: counts of each filter, slots of the first rung, candidates of the random arm.

    Deterministic given predictor and parameters. Raises ConfigError where the budget leaves too few candidates.
    """
    candidates, grid = enumerate_space(search.space, vocabularies)
    cost = costs(candidates, predictor, search.budget)
    fixed = [anchor_record(name, arch, vocabularies, predictor, search) for name, arch in anchors.items()]
    latency = bounds(search, {record["anchor"]: record for record in fixed})
    masks = within(cost, search.budget, latency)
    left = counted(masks, grid)
    feasible = np.flatnonzero(np.logical_and.reduce(list(masks.values())))
    free = search.rungs[0].slots - len(fixed)
    check_room(search, free, len(feasible), left)
    kept, kept_cost = candidates.take(feasible), {name: values[feasible] for name, values in cost.items()}
    chosen, pool = spread(kept, kept_cost, free, list(anchors.values()))
    rng = np.random.default_rng(search.seed)
    drawn = rng.permutation(len(kept))[: search.random]
    return {
        "candidates_total": len(candidates),
        "feasible": len(feasible),
        "counts": left,
        "pool": pool,
        "bounds": latency,
        "slots": fixed + [record_of(kept, kept_cost, int(i)) for i in chosen],
        "random": [record_of(kept, kept_cost, int(i)) for i in drawn],
    }


def check_room(search: Search, free: int, feasible: int, left: Mapping[str, int]) -> None:
    """Raise ConfigError where anchors or budget leave too little."""
    if free < 1:
        raise ConfigError(
            f"search.rungs: the first rung has {search.rungs[0].slots} slots and {len(search.anchors)} anchors "
            "take part; give it more slots than anchors"
        )
    if feasible < max(free, search.random):
        passed = ", ".join(f"{name} {count:,}" for name, count in left.items())
        raise ConfigError(
            f"search.budget: {feasible} candidates are left and {max(free, search.random)} are needed ({passed}); "
            "loosen the bound that leaves the fewest, or widen search.space"
        )


def bounds(search: Search, anchors: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Latency bounds in ms: the given ones, and multiples of the reference model's; the tighter wins, 0 is off."""
    budget, found = search.budget, {}
    if budget.reference is not None and budget.reference not in anchors:
        raise ConfigError(f"search.budget.reference={budget.reference}: not among search.anchors; name it there")
    for name in ("prefill", "decode"):
        given = [getattr(budget, f"max_{name}_ms")]
        if budget.reference is not None:
            own = anchors[budget.reference]["predicted"][f"{name}_ms"]
            given.append(float(f"{own * getattr(budget, f'max_{name}_ratio'):.6g}"))
        found[f"{name}_ms"] = min((bound for bound in given if bound > 0), default=0.0)
    return found


def capacity(candidates: Candidates) -> Floats:
    """A proxy of quality at equal data: parameters of the blocks, more for those that are executed again."""
    arch = candidates.namespace()
    blocks = np.asarray(arch.n_layers * counts.block_params(arch), dtype=np.float64)
    return np.asarray(blocks * np.asarray(arch.sharing, dtype=np.float64) ** SHARED_WORTH)


def spread(
    candidates: Candidates, cost: Mapping[str, Floats], slots: int, taken: list[Architecture]
) -> tuple[list[int], int]:
    """Indices of ``slots`` candidates and the size of the pool that they are from.

    The pool holds what lies near the Pareto front of (decode latency, capacity). From it the greedy farthest point in
    the space of shapes is taken, again and again, starting from the anchors: depth, width, feed-forward, kv heads,
    activation, gating, sharing, and latency all count, so that no corner of the space is left untried.
    """
    size, time = capacity(candidates), cost["decode_ms"]
    near = near_front(time, size, POOL_SLACK)
    pool = np.flatnonzero(near) if near.sum() >= slots else np.arange(len(candidates))
    points = coordinates(candidates.fields, time)
    low, span = points[pool].min(axis=0), np.ptp(points[pool], axis=0)
    span[span == 0] = 1.0
    here = (points[pool] - low) / span
    distance = np.full(len(pool), np.inf)
    if taken:
        fields_ = columns([as_point(arch, 1) for arch in taken])
        there = (coordinates(fields_, np.full(len(taken), np.nan)) - low) / span
        for point in there:  # an anchor's latency is not compared
            distance = np.minimum(distance, np.nansum((here - point) ** 2, axis=1))
    chosen: list[int] = []
    for _ in range(slots):
        best = int(np.lexsort((np.arange(len(pool)), -size[pool], -np.round(distance, 9)))[0])
        chosen.append(int(pool[best]))
        distance = np.minimum(distance, ((here - here[best]) ** 2).sum(axis=1))
        distance[best] = -1.0
    return sorted(chosen, key=lambda i: (time[i], i)), len(pool)


def near_front(time: Floats, size: Floats, slack: float) -> NDArray[np.bool_]:
    """Candidates with at least (1 - slack) of the largest capacity that is as fast, [n]."""
    front = np.flatnonzero(front_mask(time, -size))
    front = front[np.lexsort((size[front], time[front]))]
    place = np.searchsorted(time[front], time, side="right") - 1
    return np.asarray(size >= (1.0 - slack) * size[front][np.maximum(place, 0)], dtype=np.bool_)


def coordinates(f: Mapping[str, Any], time: Floats) -> Floats:
    """Shapes as points [n, 8] whose differences mean something: sizes in logarithms, choices as 0 or 1."""
    share = f["n_heads"] / f["n_kv_heads"]
    axes = (
        np.log(f["n_layers"]),
        np.log(f["d_model"]),
        np.log(f["d_ff"] / f["d_model"]),
        0.5 * np.log(share),
        0.5 * (f["activation"] != 0),
        0.5 * f["gated"],
        0.5 * f["sharing"],
        np.log(time),
    )
    return np.stack([np.asarray(axis, dtype=np.float64) for axis in axes], axis=1)


def record_of(candidates: Candidates, cost: Mapping[str, Floats], i: int) -> dict[str, Any]:
    """What trials and winners need to know of one candidate."""
    arch = candidates.architecture(i)
    predicted = {name: float(f"{cost[name][i]:.6g}") for name in ("prefill_ms", "decode_ms", "memory_mib")}
    vocab = int(candidates.fields["vocab_size"][i])
    return {
        "name": label(arch),
        "anchor": None,
        "architecture": plain(arch),
        "vocab_size": vocab,
        "params": int(cost["params"][i]),
        "predicted": predicted,
    }


def anchor_record(
    name: str, arch: Architecture, vocabularies: Mapping[str, int], predictor: Predictor, search: Search
) -> dict[str, Any]:
    """The same of a named model that takes part."""
    if arch.kind != "named":
        raise ConfigError(f"search.anchors: {name} is {arch.kind}; anchors are named models")
    vocab = vocabularies[arch.tokenizer]
    point = columns([as_point(arch, vocab)])
    budget = search.budget
    found = {
        "prefill_ms": float(predictor.predict(point, budget.prompt, "prefill")[0]),
        "decode_ms": float(predictor.predict(point, budget.depth, "decode")[0]),
        "memory_mib": float(memory_mib(arch, vocab, arch.max_seq_len)),
    }
    predicted = {key: float(f"{value:.6g}") for key, value in found.items()}
    size = counts.params(arch, vocab)
    return {
        "name": name,
        "anchor": name,
        "architecture": plain(arch),
        "vocab_size": vocab,
        "params": size,
        "predicted": predicted,
    }


def label(arch: Architecture) -> str:
    """A readable name of a shape: ``L6 d128 h8/4x16 ff384 silu gated``."""
    parts = [f"L{arch.n_layers}" + (f"x{arch.sharing}" if arch.sharing > 1 else ""), f"d{arch.d_model}"]
    parts += [f"h{arch.n_heads}/{arch.n_kv_heads}x{arch.head_dim}", f"ff{arch.d_ff}", arch.activation]
    return " ".join(parts + ["gated" if arch.gated else "plain"] + ([] if arch.tied else ["untied"]))


def plain(arch: Architecture) -> dict[str, Any]:
    """The fields of an architecture without where it came from."""
    return {name: value for name, value in as_dict(arch).items() if name not in ("rank", "path")}


def architecture_of(record: Mapping[str, Any]) -> Architecture:
    """The architecture of a record."""
    known = {field.name for field in fields(Architecture)}
    return Architecture(**{name: value for name, value in record["architecture"].items() if name in known})
