"""What the run made, in a few tiles and one-line conclusions, all computed from its data."""

from __future__ import annotations

from dataclasses import dataclass

from pocketlm.report.figures import MIB
from pocketlm.report.results import paired_change
from pocketlm.report.tables import count, fixed, listed, spread
from pocketlm.report.views import Key, View, decode_speed


@dataclass
class Tile:
    """A number that matters."""

    name: str
    value: str
    note: str


def best_model(view: View) -> Key | None:
    """The bf16 model and phase with the most points above chance."""
    keys = [key for key in view.quality if key[2] == "bf16"]
    return max(keys, key=lambda key: view.quality[key].value) if keys else None


def best_caller(view: View) -> Key | None:
    """The bf16 model and phase with the most exact calls."""
    keys = [key for key in view.calls if key[2] == "bf16" and view.call_exact(key)]
    return max(keys, key=lambda key: (view.call_exact(key) or {})["value"]) if keys else None


def tiles(view: View) -> list[Tile]:
    """Best quality, best calls, fastest, smallest."""
    made: list[Tile] = []
    if best := best_model(view):
        value = view.quality[best]
        note = f"points above chance (± {value.stderr:.1f}): {name(best)}"
        made.append(Tile("best quality", fixed(value.value), note))
    if caller := best_caller(view):
        row = view.call_exact(caller) or {}
        text = f"held-out calls exactly right: {caller[0]}, n = {row['n']:,}"
        made.append(Tile("best calls", f"{fixed(100 * row['value'])}%", text))
    speeds = [(decode_speed(f) or 0.0, f) for f in view.inputs.facts]
    if speeds:
        speed, fact = max(speeds, key=lambda pair: pair[0])
        text = f"decode tokens/s: {fact['model']} {fact['scheme']}, {fact['runtime']}"
        made.append(Tile("fastest", f"{speed:,.0f}", text))
    sizes = [(s["file_bytes"], m, s.get("scheme", n)) for (m, n), s in view.inputs.sizes.items() if "file_bytes" in s]
    if sizes:
        size, model, scheme = min(sizes)
        made.append(Tile("smallest", f"{size / MIB:.2f}", f"MiB on disk: {model} {scheme}"))
    return made


def name(key: Key) -> str:
    """``a0, base`` and the scheme where it is not bf16."""
    return ", ".join(key if key[2] != "bf16" else key[:2])


def conclusions(view: View) -> list[str]:
    """One line each; a line without data is left out."""
    lines = [made(view), quality_line(view), call_line(view), speed_line(view), *quantization_lines(view)]
    return [line for line in lines if line]


def made(view: View) -> str:
    """What was made."""
    trained = [model for model in view.models if any(m == model for m, _ in view.inputs.metrics)]
    if not trained:
        return "No model was trained in this run."
    sizes = [metrics["params"] for metrics in view.inputs.metrics.values() if "params" in metrics]
    span = f" of {count(min(sizes))} to {count(max(sizes))} parameters" if sizes else ""
    tokens = sum(metrics.get("tokens", 0) for metrics in view.inputs.metrics.values())
    schemes = {s.get("scheme") for s in view.inputs.sizes.values() if "file_bytes" in s} - {"bf16", None}
    packed = f" and quantized to {listed(sorted(map(str, schemes)))}" if schemes else ""
    return f"{len(trained)} models{span} were trained on {count(tokens)} tokens in all{packed}."


def quality_line(view: View) -> str:
    """Best against the second model in the same phase."""
    best = best_model(view)
    if best is None:
        return ""
    others = [k for k in view.quality if k[1:] == best[1:] and k[0] != best[0]]
    value = view.quality[best]
    line = f"{name(best)} answers best: {fixed(value.value)} ± {fixed(value.stderr)} points above chance"
    line += f" over {value.n} multiple-choice tasks"
    if others:
        second = max(others, key=lambda k: view.quality[k].value)
        gap = value.value - view.quality[second].value
        error = (value.stderr**2 + view.quality[second].stderr ** 2) ** 0.5
        clear = "clearly" if gap > 2 * error else "within two standard errors"
        line += f", {fixed(gap)} ahead of {second[0]} ({clear})"
    return line + "."


def call_line(view: View) -> str:
    """The best caller against its own base."""
    caller = best_caller(view)
    if caller is None:
        return ""
    row = view.call_exact(caller) or {}
    share = spread(100 * row["value"], 100 * (row.get("stderr") or 0))
    line = f"{caller[0]} gets {share}% of held-out calls exactly right"
    base = view.call_exact((caller[0], "base", "bf16"))
    return line + (f"; before tuning {fixed(100 * base['value'])}%." if base and caller[1] != "base" else ".")


def speed_line(view: View) -> str:
    """The spread of decode speed between bf16 models on one runtime."""
    facts = [f for f in view.inputs.facts if (f.get("scheme"), f.get("runtime")) == ("bf16", "torch")]
    speeds = sorted((decode_speed(f) or 0.0, f["model"]) for f in facts if decode_speed(f))
    if len(speeds) < 2:
        return ""
    slow, fast = speeds[0], speeds[-1]
    threads = facts[0].get("threads", "?")
    return (
        f"{fast[1]} decodes fastest ({fast[0]:,.0f} tokens/s), {fast[0] / slow[0]:.1f} times as fast as {slow[1]}; "
        f"speeds are of {facts[0]['device']} with {threads} thread{'' if threads == 1 else 's'}."
    )


def quantization_lines(view: View) -> list[str]:
    """The largest paired loss of each scheme over the models."""
    lines = []
    for scheme in ("int8", "int4"):
        found = [(paired_change(view, key, "both"), key) for key in view.quality if key[2] == scheme]
        changes = [(change, key) for change, key in found if change]
        if changes:
            worst, key = min(changes, key=lambda pair: pair[0].value)
            sizes, whole = view.size(key), view.size((key[0], key[1], "bf16"))
            ratio = sizes["linear_bytes"] / whole["linear_bytes"] if sizes and whole else None
            less = "" if ratio is None else f", at {ratio:.2f} of its linear bytes"
            change = spread(100 * worst.value, 100 * worst.stderr, 2, plus=True)
            who = f"{key[0]} {key[1]}, paired over {worst.n:,} items{less}"
            lines.append(f"{scheme} changes choices and calls by {change} points at worst ({who}).")
    return lines
