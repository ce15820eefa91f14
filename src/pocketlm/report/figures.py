"""The figures of the report as inline SVG. Each returns None where there is nothing to draw."""

from __future__ import annotations

from pocketlm.report.bars import Bar, bars
from pocketlm.report.inputs import Row
from pocketlm.report.statistics import pareto
from pocketlm.report.svg import Plot
from pocketlm.report.views import View, decode_speed, order, prefill_speed, sort_key

MIB = 1 << 20


def deployed(view: View) -> list[Row]:
    """One row for each deployment that was scored (all that was scored where none was): quality, speed and size."""
    entries = {(d.model, d.phase, d.scheme): d for d in view.params.deployments.values()}
    keys = [key for key in view.quality if key in entries] or list(view.quality)
    rows: list[Row] = []
    for model, phase, scheme in keys:
        size = view.size((model, phase, scheme))
        row: Row = {"model": model, "phase": phase, "scheme": scheme, "points": view.quality[model, phase, scheme]}
        row["decode"] = decode_speed(view.fact(model, scheme))
        row["mib"] = size["file_bytes"] / MIB if size else None
        rows.append(row)
    return rows


def pareto_figure(view: View, axis: str) -> str | None:
    """Quality against ``decode`` (tokens/s, more is better) or ``mib`` (less is better), with the front."""
    rows = [row for row in deployed(view) if row[axis] is not None]
    if len(rows) < 2:
        return None
    sign = 1 if axis == "decode" else -1
    name = "decode speed" if axis == "decode" else "file size"
    plot = Plot(f"Quality against {name}", describe(rows, axis), height=300)
    plot.x_title = "faster →  decode, tokens/s" if axis == "decode" else "← smaller  file, MiB"
    plot.y_title = "points above chance"
    bounds = [row["points"].value + side * row["points"].stderr for row in rows for side in (-1, 1)]
    plot.axes([row[axis] for row in rows], bounds)
    front = pareto([(sign * row[axis], row["points"].value) for row in rows])
    plot.line([(rows[i][axis], rows[i]["points"].value) for i in front], "front", "Pareto front")
    for i, row in enumerate(rows):
        draw_deployment(plot, view, row, axis, i in front)
    return plot.svg()


def draw_deployment(plot: Plot, view: View, row: Row, axis: str, on_front: bool) -> None:
    """One marker, hollow off the front; the front and every bf16 model are labelled, all have tooltips."""
    css, estimate = view.css(row["model"]), row["points"]
    tip = f"{row['model']} {row['phase']} {row['scheme']}: {estimate.value:.1f} ± {estimate.stderr:.1f} points"
    if on_front:
        plot.error(row[axis], estimate.value, estimate.stderr, css)
    plot.point(row[axis], estimate.value, css if on_front else f"{css} hollow", tip, view.marker(row["model"]))
    if on_front or row["scheme"] == "bf16":
        text = row["model"] if row["scheme"] == "bf16" else f"{row['model']} {row['scheme']}"
        plot.label(row[axis], estimate.value, text, css)


def describe(rows: list[Row], axis: str) -> str:
    """The figure in words, for those who do not see it."""
    unit = "tokens/s" if axis == "decode" else "MiB"
    return "; ".join(
        f"{r['model']} {r['phase']} {r['scheme']}: {r['points'].value:.1f} points, {r[axis]:.3g} {unit}" for r in rows
    )


def curve_figure(view: View, phase: str) -> str | None:
    """Training loss of one phase by step, one line a model, named at its end."""
    curves = {m: view.inputs.curves.get((m, phase), []) for m in view.models}
    lines = {m: [(r["step"], r["loss"]) for r in rows if "loss" in r] for m, rows in curves.items()}
    lines = {m: points for m, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    desc = "; ".join(f"{m} ends at {points[-1][1]:.3f}" for m, points in lines.items())
    longest = max(len(m) for m in lines)
    plot = Plot(f"Training loss, {phase}", desc, "step", "loss, nats a token", height=250, right=14 + 7 * longest)
    every = [point for points in lines.values() for point in points]
    plot.axes([x for x, _ in every], [y for _, y in every], x_zero=True, y_log=True)
    for model, points in lines.items():
        plot.line(points, view.css(model), model)
    plot.end_labels([(*points[-1], model, view.css(model)) for model, points in lines.items()])
    return plot.svg()


def profile_figure(view: View, kind: str) -> str | None:
    """Bars of ``prefill`` or ``decode`` tokens/s, grouped by runtime."""
    speed = prefill_speed if kind == "prefill" else decode_speed
    rows = []
    for fact in sorted(view.inputs.facts, key=lambda f: (f["runtime"], f["scheme"] != "bf16", f["scheme"])):
        value = speed(fact)
        if value:
            group = f"{fact['runtime']}, {fact.get('threads', '?')} threads, {fact['device']}"
            css = view.css(fact["model"])
            name = f"{fact['model']} {fact['scheme']}"
            rows.append(Bar(name, [(value, css)], f"{value:,.0f}", f"{name}: {value:,.0f} tokens/s", group))
    if not rows:
        return None
    desc = "; ".join(f"{row.name} {row.text}" for row in rows)
    return bars(f"{kind.capitalize()}, tokens/s", desc, rows)


def size_figure(view: View) -> str | None:
    """Stacked bars of embedding, linear and other bytes of each deployment, grouped by model."""
    rows = []
    place = order(view.params)
    found = {(m, s.get("phase", ""), s.get("scheme", n)): s for (m, n), s in view.inputs.sizes.items()}
    for (model, phase, scheme), sizes in sorted(found.items(), key=lambda item: sort_key(place, item[0])):
        if "file_bytes" not in sizes:
            continue
        parts = [(sizes.get(f"{part}_bytes", 0) / MIB, css) for part, css in PARTS]
        tip = ", ".join(f"{part} {value:.2f} MiB" for (part, _), (value, _) in zip(PARTS, parts, strict=True))
        total = sizes["file_bytes"] / MIB
        rows.append(Bar(scheme, parts, f"{total:.2f}", tip, f"{model} {phase}"))
    if not rows:
        return None
    return bars("Size of the deployed files, MiB", "; ".join(f"{r.group} {r.name} {r.text}" for r in rows), rows)


PARTS = (("linear", "part-linear"), ("embedding", "part-embedding"), ("other", "part-other"))


def call_figure(view: View, rows: list[Row]) -> str | None:
    """Exact calls in percent with error bars, one row a deployment and phrasing."""
    shown = []
    for row in rows:
        error = 100 * (row.get("stderr") or 0.0)
        text, name = f"{100 * row['value']:.1f} ± {error:.1f}", f"{row['model']} {row['label']}"
        shown.append(Bar(name, [(100 * row["value"], view.css(row["model"]))], text, name, "", error))
    if not shown:
        return None
    return bars("Calls exactly right, percent", "; ".join(f"{b.name} {b.text}" for b in shown), shown, limit=100)
