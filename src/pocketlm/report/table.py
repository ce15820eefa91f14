"""The tidy table of a run (``table.csv``) and the small summary for ``dvc metrics`` (``metrics.json``)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import IO, Any

from pocketlm.artifacts import ArtifactError, write_text
from pocketlm.report.inputs import Row
from pocketlm.report.views import PHASES, View, decode_speed, order, prefill_speed

COLUMNS = ("run", "model", "seed", "phase", "scheme", "runtime", "suite", "task", "metric", "value", "stderr", "n")


def tidy(view: View) -> list[Row]:
    """All numbers of a run, one a row: scores, held-out losses, sizes, measured speeds."""
    rows = [dict(row) for row in view.inputs.scores]
    for (model, phase), metrics in view.inputs.metrics.items():
        about: Row = {"model": model, "phase": phase, "scheme": "bf16", "runtime": "torch", "suite": "training"}
        names = {"val_bits_per_byte": "bits_per_byte", "val_loss": "val_loss", "train_loss": "train_loss"}
        rows += [about | {"task": "corpus", "metric": m, "value": metrics.get(k)} for k, m in names.items()]
    for (model, _), sizes in view.inputs.sizes.items():
        about = {"model": model, "suite": "size", "task": "file"} | picked(sizes, "phase", "scheme", "runtime")
        rows += [about | {"metric": k, "value": v} for k, v in sizes.items() if k.endswith("_bytes")]
    for fact in view.inputs.facts:
        about = {"suite": "profile", "task": fact["device"]} | picked(fact, "model", "scheme", "runtime")
        speeds = {"prefill_tok_s": prefill_speed(fact), "decode_tok_s": decode_speed(fact)}
        rows += [about | {"metric": k, "value": v} for k, v in speeds.items()]
    for row in rows:
        entry = view.params.models.get(row["model"])
        row["run"] = view.params._recipe
        row.setdefault("seed", entry.seed if entry else None)
    place = order(view.params)
    return sorted((r for r in rows if r.get("value") is not None), key=lambda row: _sort_key(place, row))


def picked(row: Row, *names: str) -> Row:
    """These keys of a row."""
    return {name: row.get(name) for name in names}


def _sort_key(place: dict[str, int], row: Row) -> tuple[Any, ...]:
    known = [(place.get(row.get(k) or "", 999), row.get(k) or "") for k in ("model", "phase", "scheme")]
    return (row["suite"], *known, row["task"], row["metric"], row.get("runtime") or "")


def stream(rows: list[Row], out: IO[str]) -> None:
    """Tidy rows as CSV."""
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if row.get(k) is None else row[k] for k in COLUMNS} for row in rows)


def write(path: str | Path, rows: list[Row]) -> None:
    """Write tidy rows as CSV, atomically."""
    text = io.StringIO()
    stream(rows, text)
    write_text(path, text.getvalue())


def load(path: str | Path) -> list[Row]:
    """Read ``table.csv``. Raises ArtifactError where it is missing or has other columns."""
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file; the report writes it: snakemake {path}")
    with Path(path).open(encoding="utf-8", newline="") as text:
        reader = csv.DictReader(text)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            heads = ",".join(COLUMNS)
            raise ArtifactError(f"{path}: not a results table (columns {heads}); make it again: snakemake {path}")
        return [dict(row) for row in reader]


def summary(view: View) -> dict[str, Any]:
    """Per model: mean points above chance, exact calls, bits per byte, size, decode speed; those that exist."""
    models = {model: _summary(view, model) for model in view.models}
    return {"models": {model: numbers for model, numbers in models.items() if numbers}}


def _summary(view: View, model: str) -> dict[str, float | int]:
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
    known = {name: value for name, value in numbers.items() if value is not None}
    return {name: value if isinstance(value, int) else float(f"{value:.6g}") for name, value in known.items()}
