"""The architecture search: trials, winners, the random arm, the predictor, and how well the proxy ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketlm.report.inputs import Inputs, Row
from pocketlm.report.statistics import mean
from pocketlm.report.svg import Plot
from pocketlm.report.tables import DASH, Cell, Table, count, fixed
from pocketlm.report.views import View
from pocketlm.search import ranks


@dataclass
class Trial:
    """A short training of one candidate."""

    name: str
    arm: str  # searched | random
    anchor: str | None  # the named model that takes part
    rung: int  # of the random arm: the last, as it is trained as long
    bpb: float
    steps: int
    tokens: int
    latency: float  # predicted decode, ms a token
    params: int


def read(rows: Sequence[Row], arm: str, last: int = 0) -> list[Trial]:
    """The trials that ended with a loss."""
    return [
        Trial(
            row["name"],
            arm,
            row.get("anchor"),
            last if row["rung"] is None else row["rung"],
            row["loss_bpb"],
            row["steps"],
            row["tokens"],
            row["predicted"]["decode_ms"],
            row["params"],
        )
        for row in rows
        if row["loss_bpb"] is not None
    ]


def all_trials(front: Row) -> list[Trial]:
    """Searched trials, anchors and the random arm of ``front.json``."""
    searched = read(front.get("trials", []), "searched")
    last = max((t.rung for t in searched), default=0)
    return searched + read((front.get("random") or {}).get("trials", []), "random", last)


def diverged(front: Row) -> list[str]:
    """Trials without a loss, and why."""
    rows = [*front.get("trials", []), *(front.get("random") or {}).get("trials", [])]
    return [f"{row.get('name')}: {row.get('why')}" for row in rows if row.get("diverged")]


def shape(arch: Row) -> str:
    """``8 × 128, 4/2 heads of 32, FFN 384 gated silu``."""
    gate = "gated " if arch["gated"] else ""
    shared = f", each run ×{arch['sharing']}" if arch["sharing"] > 1 else ""
    heads = f"{arch['n_heads']}/{arch['n_kv_heads']} heads of {arch['head_dim']}"
    return f"{arch['n_layers']} × {arch['d_model']}, {heads}, FFN {arch['d_ff']} {gate}{arch['activation']}{shared}"


def trials_figure(view: View) -> str | None:
    """Proxy loss against predicted decode time: the last rung strong, the rungs before faint, random hollow."""
    trials = all_trials(view.inputs.front)
    if len(trials) < 2:
        return None
    last = max(t.rung for t in trials)
    best = {arm: fixed(min((t.bpb for t in trials if t.arm == arm), default=None), 4) for arm in ("searched", "random")}
    desc = f"{len(trials)} trials; best searched {best['searched']}, best random {best['random']} bits per byte"
    plot = Plot("Search trials", desc, "predicted decode, ms a token", "proxy loss, bits per byte", height=300)
    plot.axes([t.latency for t in trials], [t.bpb for t in trials])
    front = [(row["predicted"]["decode_ms"], row["loss_bpb"]) for row in view.inputs.front.get("front", [])]
    plot.line(sorted(front), "front", "front of the last rung")
    winners = {row["shape"]: row["name"] for row in view.inputs.front.get("winners", [])}
    for t in sorted(trials, key=lambda t: (t.rung, t.arm)):
        draw_trial(plot, t, last, winners.get(t.name) or t.anchor)
    return plot.svg()


def draw_trial(plot: Plot, t: Trial, last: int, label: str | None) -> None:
    """One trial; winners and anchors are named in the last rung."""
    tip = (
        f"{t.arm}, rung {t.rung}: {t.name}, {count(t.params)} parameters: {t.bpb:.4f} bits per byte, {t.latency:.3g} ms"
    )
    if t.arm == "random":
        plot.point(t.latency, t.bpb, "arm-random hollow", tip, 2, 4)
    elif t.rung < last:
        plot.point(t.latency, t.bpb, "arm-early", tip, 0, 3)
    else:
        plot.point(t.latency, t.bpb, "arm-last", tip, 0, 4.5)
    if label and t.arm == "searched" and t.rung == last:
        plot.label(t.latency, t.bpb, label, "strong")


def counts_line(front: Row) -> str:
    """How many candidates there were, were left by the budgets, and were trained."""
    if not front:
        return ""
    trials = [t for t in all_trials(front) if t.arm == "searched" and not t.anchor]
    rungs = len({t.rung for t in trials})
    text = f"{front['candidates_total']:,} candidates, {front['feasible']:,} within the budgets"
    return f"{text}, {len(trials)} proxy trainings in {rungs} rungs." + "".join(
        f" Without a loss: {why}." for why in diverged(front)
    )


def arms_table(view: View) -> Table | None:
    """The searched against the random arm: what each cost and reached."""
    trials = all_trials(view.inputs.front)
    if not trials:
        return None
    heads = ["arm", "#trials", "#tokens spent", "#best", "#mean of the last rung", "#trials in it"]
    table = Table("Searched and random at equal budget, bits per byte", heads)
    gain = (view.inputs.front.get("random") or {}).get("gain_percent")
    table.note = "Random candidates are drawn from those within the budgets and trained as long as the last rung."
    table.note += "" if gain is None else f" The search's best is {fixed(gain, 2)}% below the best of random choice."
    for arm, anchor in (("searched", False), ("random", False), ("named models", True)):
        own = [t for t in trials if t.arm == arm.replace("named models", "searched") and bool(t.anchor) == anchor]
        if own:
            longest = [t.bpb for t in own if t.rung == max(t.rung for t in own)]
            numbers = count(sum(t.tokens for t in own)), Cell(fixed(min(longest), 4), css="strong")
            table.add(arm, str(len(own)), *numbers, fixed(mean(longest), 4), str(len(longest)))
    return table


def winners_table(view: View) -> Table | None:
    """The winners: policy, shape, predicted latency and proxy loss."""
    winners = view.inputs.front.get("winners")
    if not winners:
        return None
    heads = ["name", "policy", "shape", "#parameters", "#prefill, ms", "#decode, ms", "#proxy bits per byte"]
    table = Table("Winners", heads)
    for row in winners:
        predicted = row["predicted"]
        cells = [fixed(predicted.get("prefill_ms"), 2), fixed(predicted["decode_ms"], 3), fixed(row["loss_bpb"], 4)]
        first = Cell(row["name"], css=view.css(row["name"]) + " model")
        policy = Cell(row["policy"], "" if row.get("separated", True) else "not separated from an earlier winner")
        table.add(first, policy, shape(row["architecture"]), count(row["params"]), *cells)
    return table


def agreement(view: View) -> list[tuple[str, float, float]]:
    """(model, loss of its longest proxy, final loss) of each model whose shape was tried and that was then trained."""
    trials = [t for t in all_trials(view.inputs.front) if t.arm == "searched"]
    shapes = {row["name"]: row["shape"] for row in view.inputs.front.get("winners", [])}
    found = []
    for model in view.models:
        tried = [t for t in trials if t.anchor == model or t.name == shapes.get(model)]
        final = view.bits(model)
        if tried and final is not None:
            found.append((model, max(tried, key=lambda t: t.rung).bpb, final))
    return found


def rungs_text(front: Row) -> str:
    """How well each rung ranked what the next one trained longer."""
    lines = [
        f"rung {row['rungs'][0]} to {row['rungs'][1]}: τ = {fixed(row['kendall'], 2)}, n = {row['n']}"
        for row in front.get("rank_agreement", [])
    ]
    return f" Between rungs ({'; '.join(lines)})." if lines else ""


def agreement_text(pairs: Sequence[tuple[str, float, float]]) -> str:
    """Kendall's tau and Spearman's rho with their n, or why there are none."""
    if len(pairs) < 2:
        return f"Rank agreement needs at least two models with a proxy and a final loss; there are {len(pairs)}."
    found = ranks.agreement([proxy for _, proxy, _ in pairs], [final for _, _, final in pairs])
    tau, rho = fixed(found["kendall"], 2), fixed(found["spearman"], 2)
    weak = " With so few models this is an indication, not evidence." if len(pairs) < 8 else ""
    return f"Kendall τ = {tau}, Spearman ρ = {rho} over n = {len(pairs)} models.{weak}"


def agreement_figure(view: View) -> str | None:
    """Final against proxy loss."""
    pairs = agreement(view)
    if len(pairs) < 2:
        return None
    text = agreement_text(pairs)
    plot = Plot("Proxy and final loss", text, "proxy, bits per byte", "final, bits per byte", height=260)
    plot.axes([p for _, p, _ in pairs], [f for _, _, f in pairs])
    for model, proxy, final in pairs:
        plot.point(proxy, final, view.css(model), f"{model}: {proxy:.4f} then {final:.4f}", view.marker(model))
        plot.label(proxy, final, model, view.css(model))
    return plot.svg()


def predictor_figure(inputs: Inputs, phase: str) -> str | None:
    """Predicted against measured time of whole models that were not fitted on."""
    rows = ((inputs.predictor.get("validation") or {}).get(phase) or {}).get("rows", [])
    if len(rows) < 2:
        return None
    error = inputs.predictor["validation"][phase]["median_percent"]
    desc = f"{len(rows)} measurements of models not fitted on; median error {error}%"
    plot = Plot(f"Predicted {phase}", desc, "measured, ms", "predicted, ms", height=260)
    pairs = [(row["measured_ms"], row["predicted_ms"]) for row in rows]
    every = [value for pair in pairs for value in pair]
    plot.axes(every, every, x_log=True, y_log=True)
    plot.line([(min(every), min(every)), (max(every), max(every))], "ideal", "prediction = measurement")
    for row, (x, y) in zip(rows, pairs, strict=True):
        tip = f"{shape(row['arch'])}, {row['length']:g} tokens: {x:.3g} ms, predicted {y:.3g}"
        plot.point(x, y, "arm-last", tip, 0, 4)
    return plot.svg()


def predictor_table(inputs: Inputs) -> Table | None:
    """Errors of the latency predictor on unseen whole models."""
    validation = inputs.predictor.get("validation")
    if not validation:
        return None
    heads = ["phase", "#measurements", "#median error", "#largest error", "#bias"]
    table = Table("Latency predictor on whole models that it was not fitted on", heads)
    for phase, row in sorted(validation.items(), reverse=True):
        errors = [row.get(f"{name}_percent") for name in ("median", "max", "bias")]
        table.add(phase, str(row["n"]), *(DASH if e is None else f"{fixed(e)}%" for e in errors))
    return table
