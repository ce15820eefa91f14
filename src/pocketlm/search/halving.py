"""Successive halving: which candidates of a rung are trained longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketlm.search.pareto import layers

RECORD = ("name", "anchor", "architecture", "vocab_size", "params", "predicted")


def alive(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Trials of searched candidates that ended with a loss."""
    return [t for t in trials if t["architecture"] is not None and not t["anchor"] and not t["diverged"]]


def order(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Trials from best to worst: by front of (loss, decode latency), inside a front by loss, then by slot."""
    trials = alive(trials)
    front = layers([t["loss_bpb"] for t in trials], [t["predicted"]["decode_ms"] for t in trials])
    ranked = sorted(zip(front, trials, strict=True), key=lambda pair: (pair[0], pair[1]["loss_bpb"], pair[1]["slot"]))
    return [trial for _, trial in ranked]


def promote(trials: Sequence[Mapping[str, Any]], slots: int) -> list[dict[str, Any] | None]:
    """The ``slots`` best candidates as records. Where too few are alive the last slots are None: no trial there.

    Anchors are not promoted: they are trained whole anyway, and their trial is there to be compared with that.
    """
    best = [{key: trial[key] for key in RECORD} for trial in order(trials)[:slots]]
    return [*best, *[None] * (slots - len(best))]
