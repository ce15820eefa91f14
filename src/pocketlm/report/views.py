"""What the sections of the report share: quality, speed and size of a deployment, from the rows of a run."""

from __future__ import annotations

from dataclasses import dataclass

from pocketlm.config import Params
from pocketlm.report.inputs import Inputs, Missing, Row
from pocketlm.report.statistics import Estimate, combine

PHASES = ("base", "instruct", "call")
SCHEMES = ("bf16", "int8", "w8a8", "int4", "gguf_q8_0", "gguf_q4_0")
CALL_METRICS = ("exact_match", "name_accuracy", "argument_f1")
Key = tuple[str, str, str]  # model, phase, scheme


@dataclass
class View:
    """A run with its derived numbers; models are in the order of ``params.yaml``."""

    params: Params
    inputs: Inputs
    models: list[str]
    quality: dict[Key, Estimate]  # points above chance, mean over multiple-choice tasks
    tasks: list[tuple[str, str]]  # (suite, task) of multiple choice
    calls: dict[Key, dict[tuple[str, str], Row]]  # -> (task, metric) -> row

    def css(self, model: str) -> str:
        """The colour class of a model: the same in every figure."""
        return f"c{self.models.index(model) % 8}" if model in self.models else "cx"

    def marker(self, model: str) -> int:
        """The marker of a model: told apart without colour too."""
        return self.models.index(model) % 4 if model in self.models else 0

    def call_exact(self, key: Key) -> Row | None:
        """The row of exact calls over all held-out calls."""
        rows = self.calls.get(key, {})
        return next((row for (_, metric), row in sorted(rows.items()) if metric == "exact_match"), None)

    def bits(self, model: str, phase: str = "base") -> float | None:
        """Bits per byte on held-out text."""
        return self.inputs.metrics.get((model, phase), {}).get("val_bits_per_byte")

    def fact(self, model: str, scheme: str, runtime: str | None = None) -> Row | None:
        """The measured row of a model and scheme. Speed does not depend on the phase."""
        for row in self.inputs.facts:
            if row["model"] == model and row.get("scheme") == scheme and runtime in (None, row.get("runtime")):
                return row
        return None

    def size(self, key: Key) -> Row | None:
        """The bytes of a deployment; of another phase of the same scheme where this one was not deployed."""
        model, phase, scheme = key
        found = [s for (m, _), s in sorted(self.inputs.sizes.items()) if m == model and s.get("scheme") == scheme]
        found = [s for s in found if "file_bytes" in s]
        return next((s for s in found if s.get("phase") == phase), found[0] if found else None)


def decode_speed(row: Row | None) -> float | None:
    """Decode tokens/s at the greatest measured depth."""
    rows = (row or {}).get("decode") or []
    return max(rows, key=lambda r: r["depth"])["tok_s"] if rows else None


def prefill_speed(row: Row | None) -> float | None:
    """Prefill tokens/s at the longest measured prompt."""
    rows = (row or {}).get("prefill") or []
    return max(rows, key=lambda r: r["prompt"])["tok_s"] if rows else None


def key_of(row: Row) -> Key:
    """(model, phase, scheme) of a score row."""
    return row["model"], row["phase"], row["scheme"]


def order(params: Params) -> dict[str, int]:
    """Sort order of models, phases and schemes as people read them."""
    names = [*params.models, *PHASES, *SCHEMES]
    return {name: place for place, name in enumerate(names)}


def sort_key(place: dict[str, int], key: Key) -> tuple[tuple[int, str], ...]:
    """Known names in their order, unknown ones behind them by the alphabet."""
    return tuple((place.get(name, 999), name) for name in key)


def pinned_metric(params: Params, row: Row) -> str:
    """The metric that params.yaml pins for a row's task; ``acc`` where it does not know the task."""
    suite = params.suites.get(row["suite"])
    task = suite.tasks.get(row["task"]) if suite else None
    return task.metric if task else "acc"


def build(params: Params, inputs: Inputs) -> View:
    """Derive what the sections need, and note what params.yaml promises and the files lack."""
    known = [*params.models, *sorted({row["model"] for row in inputs.scores} - set(params.models))]
    parts: dict[Key, list[tuple[float, float]]] = {}
    calls: dict[Key, dict[tuple[str, str], Row]] = {}
    tasks: dict[tuple[str, str], None] = {}
    for row in inputs.scores:
        if row.get("value") is None:
            continue
        if row["metric"].split(" ")[0] in CALL_METRICS:  # "exact_match", "exact_match unseen_phrasing"
            calls.setdefault(key_of(row), {})[row["task"], row["metric"]] = row
        elif row.get("chance") is not None and row["metric"] == pinned_metric(params, row):
            tasks[row["suite"], row["task"]] = None
            above = 100 * (row["value"] - row["chance"]), 100 * (row.get("stderr") or 0.0)
            parts.setdefault(key_of(row), []).append(above)
    place = order(params)
    quality = {key: combine(parts[key]) for key in sorted(parts, key=lambda k: sort_key(place, k))}
    calls = {key: calls[key] for key in sorted(calls, key=lambda k: sort_key(place, k))}
    note_missing(params, inputs)
    return View(params, inputs, known, quality, sorted(tasks), calls)


def note_missing(params: Params, inputs: Inputs) -> None:
    """Add what the parameters promise and no file holds: a model that diverged is named here."""
    named = " ".join(m.what for m in inputs.missing)
    for model, entry in params.models.items():
        for phase in PHASES:
            if getattr(entry, phase) and (model, phase) not in inputs.metrics and f"{model}/{phase}." not in named:
                why = inputs.diverged.get((model, phase), "no training result")
                inputs.missing.append(Missing(f"{model} {phase}", why))
        for suite in params.suites:
            scored = any(row["model"] == model and row["suite"] == suite for row in inputs.scores)
            if not scored and f"{suite}/{model}." not in named:
                inputs.missing.append(Missing(f"{model} on {suite}", "no scores"))
    if params.search.enabled and not inputs.front and "front.json" not in named:
        inputs.missing.append(Missing("search", "no front"))
