"""The search's result: front, trials, winners by different policies, the random arm beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.search.halving import alive
from pocketlm.search.pareto import front_mask, knee
from pocketlm.search.ranks import agreement

Trial = Mapping[str, Any]


def loss(trial: Trial) -> float:
    """Bits per byte of a trial."""
    return float(trial["loss_bpb"])


def decode_ms(trial: Trial) -> float:
    """Predicted milliseconds a token."""
    return float(trial["predicted"]["decode_ms"])


def final_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that winners are chosen from: the longest-trained rung in which searched candidates are alive."""
    living = alive(trials)
    if not living:
        raise ArtifactError("select: every trial diverged; lower lr and muon_lr of the search's plan and run again")
    last = max(t["rung"] for t in living)
    return [t for t in living if t["rung"] == last]


def fastest_within(trials: Sequence[Trial], epsilon: float) -> list[Trial]:
    """Fastest first, those within ``epsilon`` (relative) of the best loss before the others (PhoneLM's aim)."""
    bound = min(map(loss, trials)) * (1 + epsilon)
    return sorted(trials, key=lambda t: (loss(t) > bound, decode_ms(t) if loss(t) <= bound else loss(t), t["slot"]))


def best_loss(trials: Sequence[Trial]) -> list[Trial]:
    """Best loss first: all are within the latency budget (MobileLLM's and PanGu-pi Pro's aim)."""
    return sorted(trials, key=lambda t: (loss(t), decode_ms(t), t["slot"]))


def knees(trials: Sequence[Trial]) -> list[Trial]:
    """The knee of the front first, then that of what is left, and so on."""
    left, found = list(trials), []
    while left:
        mask = front_mask([loss(t) for t in left], [decode_ms(t) for t in left])
        front = [t for t, on in zip(left, mask, strict=True) if on]
        best = front[knee([decode_ms(t) for t in front], [loss(t) for t in front])]
        found.append(best)
        left.remove(best)
    return found


POLICIES = ("fastest within epsilon of the best loss", "best loss within the latency budget", "knee of the front")


def separated(a: Trial, b: Trial, separation: float) -> bool:
    """Whether two candidates differ by at least ``separation`` (relative) in predicted latency or in depth."""

    def apart(x: float, y: float) -> bool:
        return abs(math.log(x / y)) >= math.log1p(separation) - 1e-12

    depths = [t["architecture"]["n_layers"] * t["architecture"]["sharing"] for t in (a, b)]
    return apart(decode_ms(a), decode_ms(b)) or apart(*depths)


def winners(trials: Sequence[Trial], count: int, epsilon: float, separation: float) -> list[dict[str, Any]]:
    """``count`` winners by rank, each from the next policy, each separated from those before.

    A policy whose first choice is too near to an earlier winner takes its next one. Where none is far enough the
    remaining best stands in, marked ``separated: false``; candidates of shorter rungs fill up where trials run out.
    """
    final = final_trials(trials)
    orders = (fastest_within(final, epsilon), best_loss(final), knees(final))
    spare = sorted((t for t in alive(trials) if t not in final), key=lambda t: (-t["rung"], loss(t), t["slot"]))
    chosen: list[dict[str, Any]] = []
    taken: list[Trial] = []
    for rank in range(count):
        policy = rank % len(POLICIES)
        names = {t["name"] for t in taken}
        order = [t for t in [*orders[policy], *spare] if t["name"] not in names]
        if not order:
            raise ArtifactError(
                f"select: {count} winners are asked for and {rank} candidates have a loss; add slots to a rung"
            )
        far = [t for t in order if all(separated(t, other, separation) for other in taken)]
        best = (far or order)[0]
        taken.append(best)
        chosen.append({"trial": best, "policy": POLICIES[policy], "separated": bool(far)})
    return chosen


def rung_agreement(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """How well each rung ranked what the next one trained longer: rank agreement of the two losses."""
    found = []
    for rung in range(max(t["rung"] for t in trials)):
        pair = [{t["name"]: loss(t) for t in alive(trials) if t["rung"] == r} for r in (rung, rung + 1)]
        both = [name for name in pair[0] if name in pair[1]]
        found.append({"rungs": [rung, rung + 1], **agreement([pair[0][n] for n in both], [pair[1][n] for n in both])})
    return found


def searched_against_random(trials: Sequence[Trial], random: Mapping[str, Any]) -> dict[str, Any]:
    """The best of the search beside the best of random choice, with what each cost."""
    living = [t for t in random["trials"] if not t["diverged"]]
    searched = sum(t["tokens"] for t in trials if not t["anchor"])
    best = min(map(loss, living), default=None)
    ours = loss(best_loss(final_trials(trials))[0])
    return {
        "best": best,
        "searched_best": ours,
        "gain_percent": None if best is None else round(100 * (best - ours) / best, 4),
        "budget_tokens": searched,
        "random_tokens": sum(t["tokens"] for t in random["trials"]),
        "anchor_tokens": sum(t["tokens"] for t in trials if t["anchor"]),
        "candidates": len(random["trials"]),
        "diverged": len(random["trials"]) - len(living),
        "trials": list(random["trials"]),
    }


def select(
    proposal: Mapping[str, Any],
    predictor: Mapping[str, Any],
    trials: Sequence[Trial],
    random: Mapping[str, Any],
    count: int,
    epsilon: float,
    separation: float,
) -> dict[str, Any]:
    """The content of ``front.json``."""
    trials = sorted(trials, key=lambda t: (t["rung"], t["slot"]))
    final = final_trials(trials)
    mask = front_mask([loss(t) for t in final], [decode_ms(t) for t in final])
    front = sorted((t for t, on in zip(final, mask, strict=True) if on), key=decode_ms)
    chosen = winners(trials, count, epsilon, separation)
    named = [
        {"name": f"a{rank}", "policy": w["policy"], "separated": w["separated"], **point(w["trial"])}
        for rank, w in enumerate(chosen)
    ]
    validation = predictor.get("validation", {})
    keep = ("n", "median_percent", "max_percent", "bias_percent")
    return {
        "candidates_total": proposal["candidates_total"],
        "feasible": proposal["feasible"],
        "counts": proposal["counts"],
        "bounds": proposal["bounds"],
        "front": [point(t) for t in front],
        "trials": list(trials),
        "winners": named,
        "random": searched_against_random(trials, random),
        "rank_agreement": rung_agreement(trials),
        "predictor": {phase: {key: errors.get(key) for key in keep} for phase, errors in validation.items()},
        "device": predictor.get("device"),
        "device_id": predictor.get("device_id"),
    }


def point(trial: Trial) -> dict[str, Any]:
    """A trial as a point of the front: shape, loss, predicted numbers."""
    keys = ("architecture", "vocab_size", "params", "predicted", "loss_bpb", "rung", "slot")
    return {"shape": trial["name"]} | {key: trial[key] for key in keys} | {"arch": trial["architecture"]}


def arch_file(winner: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """``results/arch/aN.json``: the architecture's fields, its size, predicted numbers and policy."""
    about = {key: winner[key] for key in ("vocab_size", "params", "predicted", "policy", "loss_bpb")}
    return {
        **winner["architecture"],
        "kind": "searched",
        "rank": rank,
        "path": None,
        **about,
        "proxy_rung": winner["rung"],
    }
