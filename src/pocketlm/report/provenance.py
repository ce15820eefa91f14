"""Sections on where things are from: training, sources, contamination, hashes, parameters."""

from __future__ import annotations

from typing import Any

from pocketlm.config import Params, as_dict
from pocketlm.report.inputs import Inputs
from pocketlm.report.tables import DASH, Cell, Table, count, fixed
from pocketlm.report.views import PHASES, View


def training_table(view: View) -> Table | None:
    """Parameters, tokens and final losses of each phase of each model."""
    heads = ["model", "phase", "#parameters", "#tokens", "#train loss", "#held-out bits per byte"]
    table = Table("Trained phases", heads)
    table.note = "Bits per byte compare between vocabularies; losses of tuning are on assistant tokens only."
    for model in view.models:
        for phase in PHASES:
            metrics = view.inputs.metrics.get((model, phase))
            if metrics is None:
                continue
            numbers = count(metrics.get("params")), count(metrics.get("tokens")), fixed(metrics.get("train_loss"), 3)
            bits = Cell(fixed(metrics.get("val_bits_per_byte"), 4), css="strong")
            table.add(Cell(model, css=view.css(model) + " model"), phase, *numbers, bits)
    return table if table.rows else None


def sources_table(inputs: Inputs, params: Params) -> Table | None:
    """Each source with licence, origin and content hash."""
    if not inputs.sources:
        return None
    table = Table("Sources", ["source", "kind", "licence", "origin", "sha256 of its content"])
    for name, manifest in sorted(inputs.sources.items()):
        source = params.sources.get(name)
        licence = manifest.get("license") or (source.license if source else "") or "not stated"
        origin = manifest.get("origin") or (source.origin or source.url if source else "") or DASH
        kind = source.kind if source else DASH
        table.add(name, kind, licence, Cell(str(origin), css="wrap"), Cell(manifest["sha256"], css="hash"))
    return table


def contamination_table(inputs: Inputs) -> Table | None:
    """Evaluation items that share a 13-gram with the training text of each corpus."""
    heads = ["corpus", "task", "#items", "#overlapping", "#share", "#too short to judge"]
    table = Table("Evaluation items found in training text (13-gram overlap)", heads)
    for corpus, data in sorted(inputs.contamination.items()):
        for task, row in sorted(data.get("tasks", data).items()):
            if isinstance(row, dict) and "overlapping" in row:
                share = f"{fixed(100 * row.get('share', 0))}%"
                numbers = [f"{row.get(key, 0):,}" for key in ("items", "overlapping")]
                table.add(corpus, task, *numbers, share, f"{row.get('too_short', 0):,}")
    return table if table.rows else None


def hash_table(inputs: Inputs) -> Table:
    """The content of each folder artefact, and the bytes of each file that this page was made from."""
    table = Table("Artefacts", ["artefact", "#members", "sha256"])
    for name, manifest in sorted(inputs.manifests.items()):
        table.add(f"{name}/", str(len(manifest.get("files", {}))), Cell(manifest.get("sha256", DASH), css="hash"))
    for path, value in sorted(inputs.hashes.items()):
        table.add(path, "1", Cell(value, css="hash"))
    return table


def parameters(params: Params) -> dict[str, str]:
    """Each section of ``params.yaml`` as YAML text."""
    import yaml

    data: dict[str, Any] = as_dict(params)
    sections = {k: v for k, v in data.items() if v not in ({}, [], None)}
    return {k: yaml.safe_dump({k: v}, sort_keys=True, allow_unicode=True, width=100) for k, v in sections.items()}
