"""Reads what a run has made. Every file may be absent: the report names what is missing and goes on."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketlm import artifacts

Row = dict[str, Any]
PHASE = {"pretrain": "base", "pretrain_inherited": "base", "instruct": "instruct", "call": "call"}  # of a log


@dataclass
class Missing:
    """A piece that the report would show and does not have."""

    what: str
    why: str


@dataclass
class Inputs:
    """Everything of one run, keyed by model, phase and scheme."""

    scores: list[Row] = field(default_factory=list)
    samples: dict[tuple[str, str, str], list[Row]] = field(default_factory=dict)  # model, phase, scheme -> items
    metrics: dict[tuple[str, str], Row] = field(default_factory=dict)
    curves: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)
    facts: list[Row] = field(default_factory=list)
    calibrations: dict[str, Row] = field(default_factory=dict)
    sizes: dict[tuple[str, str], Row] = field(default_factory=dict)  # (model, deployment) -> bytes
    contamination: dict[str, Row] = field(default_factory=dict)
    sources: dict[str, Row] = field(default_factory=dict)  # data manifests
    manifests: dict[str, Row] = field(default_factory=dict)
    front: Row = field(default_factory=dict)
    predictor: Row = field(default_factory=dict)
    diverged: dict[tuple[str, str], str] = field(default_factory=dict)  # (model, phase) -> step, batch and loss
    hashes: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    def read(self, path: str, reader: Callable[[str], Any] = artifacts.read_json) -> Any:
        """What ``reader`` (of JSON, if not said) gets from a file, or None with a note when it is absent or damaged."""
        if not Path(path).is_file():
            self.missing.append(Missing(path, "was not made"))
            return None
        try:
            data = reader(path)
        except artifacts.ArtifactError as error:
            self.missing.append(Missing(path, str(error)))
            return None
        except (ValueError, KeyError, TypeError) as error:
            self.missing.append(Missing(path, f"damaged ({error}); delete it and run snakemake again"))
            return None
        self.hashes[path] = artifacts.sha256(path)
        return data


def stem(path: str) -> str:
    """The file name up to its first dot: ``results/tokens/c.manifest.json`` -> ``c``."""
    return Path(path).name.split(".", 1)[0]


def rows_of(data: Any) -> list[Row]:
    """The rows of a score or fact file: a list, or a dictionary that holds ``rows``, or one row."""
    if isinstance(data, list):
        return data
    if isinstance(data, dict):
        return list(data["rows"]) if "rows" in data else [data]
    return []


def read_all(paths: dict[str, Iterable[str]]) -> Inputs:
    """Read the files of each kind (the options of ``pocketlm report``)."""
    inputs = Inputs()
    for path in paths.get("scores", ()):
        inputs.scores += rows_of(inputs.read(path))
    for path in paths.get("facts", ()):
        _read_fact(inputs, path)
    for path in paths.get("samples", ()):
        _read_samples(inputs, path)
    for path in paths.get("metrics", ()):
        if (data := inputs.read(path)) is not None:
            inputs.metrics[Path(path).parent.name, stem(path)] = data
    for path in paths.get("curves", ()):
        _read_curve(inputs, path)
    for path in paths.get("logs", ()):
        _read_log(inputs, path)
    for path in paths.get("sizes", ()):
        for name, sizes in (inputs.read(path) or {}).items():
            inputs.sizes[stem(path), name] = sizes
            if "left_out" in sizes:
                inputs.missing.append(Missing(f"deployment {name}", f"left out: {sizes['left_out']}"))
    for kind in ("contamination", "sources", "manifests"):
        for path in paths.get(kind, ()):
            if (data := inputs.read(path)) is not None:
                getattr(inputs, kind)[_manifest_name(path, kind)] = data
    for kind in ("front", "predictor"):
        for path in paths.get(kind, ()):
            setattr(inputs, kind, inputs.read(path) or {})
    return inputs


def _manifest_name(path: str, kind: str) -> str:
    if kind != "manifests":
        return stem(path)
    return "/".join([*Path(path).parts[-3:-1], stem(path)]).removeprefix("results/")


def _read_fact(inputs: Inputs, path: str) -> None:
    data = inputs.read(path)
    if data is None:
        return
    if stem(path) == "calibration":
        inputs.calibrations[Path(path).parent.name] = data
        return
    inputs.facts += rows_of(data)
    for absent in data.get("left_out", []) if isinstance(data, dict) else []:
        inputs.missing.append(Missing(f"speed with {absent['runtime']}", str(absent["why"])))


def _read_samples(inputs: Inputs, path: str) -> None:
    """Per-item values, for differences paired by item."""

    def keyed(path: str) -> list[tuple[tuple[str, str, str], Row]]:
        rows = artifacts.read_jsonl(path)
        return [((row.get("model", stem(path)), row["phase"], row["scheme"]), row) for row in rows]

    for key, row in inputs.read(path, keyed) or ():
        inputs.samples.setdefault(key, []).append(row)


def _read_log(inputs: Inputs, path: str) -> None:
    """How the training of ``results/logs/STAGE-MODEL.log`` diverged, if it did."""
    stage, _, model = stem(path).partition("-")
    found = re.search(r"diverged at step \d.*", Path(path).read_text(encoding="utf-8", errors="replace"))
    if found and stage in PHASE:
        inputs.diverged[model, PHASE[stage]] = found[0]


def _read_curve(inputs: Inputs, path: str) -> None:
    rows = inputs.read(path, _curve)
    if rows is not None:
        inputs.curves[Path(path).parent.name, stem(path)] = rows


def _curve(path: str) -> list[dict[str, float]]:
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return [{k: float(v) for k, v in row.items() if k and v not in ("", None)} for row in csv.DictReader(stream)]
