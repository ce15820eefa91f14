"""The tidy table of a run (``table.csv``) and the small summary for ``dvc metrics`` (``metrics.json``)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, write_text
from pocketlm.report.inputs import Row
from pocketlm.report.views import PHASES, View, decode_speed, order, prefill_speed

COLUMNS = ("run", "model", "seed", "phase", "scheme", "runtime", "suite", "task", "metric", "value", "stderr", "n")


def tidy(view: View) -> list[Row]:
    """All numbers of a run, one a row: scores, held-out losses, sizes, measured speeds."""
    rows = [dict(row) for row in view.inputs.scores]
    for (model, phase), metrics in view.inputs.metrics.items():
        about = {"model": model, "phase": phase, "scheme": "bf16", "runtime": "torch", "suite": "training"}
        names = {"val_bits_per_byte": "bits_per_byte", "val_loss": "val_loss", "train_loss": "train_loss"}
        rows += [about | {"task": "corpus", "metric": m, "value": metrics.get(k)} for k, m in names.items()]
    for (model, _), sizes in view.inputs.sizes.items():
        about = {"model": model, "suite": "size", "task": "file", **{k: sizes.get(k) for k in ("phase", "scheme", "runtime")}}
        rows += [about | {"metric": k, "value": v} for k, v in sizes.items() if k.endswith("_bytes")]
    for fact in view.inputs.facts:
        about = {"suite": "profile", **{k: fact.get(k) for k in ("model", "scheme", "runtime")}, "task": fact["device"]}
        speeds = {"prefill_tok_s": prefill_speed(fact), "decode_tok_s": decode_speed(fact)}
        rows += [about | {"metric": k, "value": v} for k, v in speeds.items()]
    for row in rows:
        model = view.params.models.get(row["model"])
        row["run"] = view.params._recipe
        row.setdefault("seed", model.seed if model else None)
    place = order(view.params)
    return sorted((r for r in rows if r.get("value") is not None), key=lambda row: _sort_key(place, row))


def _sort_key(place: dict[str, int], row: Row) -> tuple[Any, ...]:
    known = [(place.get(row.get(k) or "", 999), row.get(k) or "") for k in ("model", "phase", "scheme")]
    return (row["suite"], *known, row["task"], row["metric"], row.get("runtime") or "")


def write(path: str | Path, rows: list[Row]) -> None:
    """Write tidy rows as CSV, atomically."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if row.get(k) is None else row[k] for k in COLUMNS} for row in rows)
    write_text(path, stream.getvalue())


def load(path: str | Path) -> list[Row]:
    """Read ``table.csv``. Raises ArtifactError where it is missing or has other columns."""
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file; the report writes it: snakemake {path}")
    with open(path, encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ArtifactError(f"{path}: not a results table (columns {','.join(COLUMNS)}); write it again with: snakemake {path}")
        return [dict(row) for row in reader]


def summary(view: View) -> dict[str, Any]:
    """Per model: mean points above chance, exact calls, bits per byte, size, decode speed. Absent numbers are left out."""
    models = {model: _summary(view, model) for model in view.models}
    return {"models": {model: numbers for model, numbers in models.items() if numbers}}


def _summary(view: View, model: str) -> dict[str, float]:
    deployed = [d.phase for d in view.params.deployments.values() if d.model == model]
    last = next((p for p in reversed(PHASES) if p in deployed or (model, p) in view.inputs.metrics), "base")
    base, end = view.quality.get((model, "base", "bf16")), view.quality.get((model, last, "bf16"))
    exact, size = view.call_exact((model, last, "bf16")), view.size((model, last, "bf16"))
    numbers = {
        "points_above_chance_base": base.value if base else None,
        f"points_above_chance_{last}": end.value if end else None,
        "calls_exact": 100 * exact["value"] if exact else None,
        "bits_per_byte": view.bits(model),
        "mib": size["file_bytes"] / (1 << 20) if size else None,
        "decode_tok_s": decode_speed(view.fact(model, "bf16")),
        "params": view.inputs.metrics.get((model, "base"), {}).get("params"),
    }
    return {name: float(f"{value:.6g}") for name, value in numbers.items() if value is not None}
