"""Compares two run folders: parameters, scores, bytes of the artefacts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pocketlm.artifacts import ArtifactError, read_json, sha256
from pocketlm.report import table
from pocketlm.report.tables import fixed

ABSENT = "(absent)"
UNTRACKED = ("results/logs/", "results/benchmarks/", "results/checkpoints/", "results/report/")


@dataclass
class Change:
    """One difference between two runs."""

    name: str
    left: str
    right: str
    note: str = ""


def flat(data: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, value) of nested plain data."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, str(data)


def parameters(left: Path, right: Path) -> list[Change]:
    """Keys of ``params.yaml`` that differ."""
    sides = []
    for run in (left, right):
        path = run / "params.yaml"
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file; a run folder holds params.yaml (pocketlm compose --into {run})")
        sides.append(dict(flat(yaml.safe_load(path.read_text(encoding="utf-8")))))
    return changes(*sides)


def changes(left: dict[str, str], right: dict[str, str]) -> list[Change]:
    """Names whose values differ."""
    names = sorted(left.keys() | right.keys())
    both = [(name, left.get(name, ABSENT), right.get(name, ABSENT)) for name in names]
    return [Change(*item) for item in both if item[1] != item[2]]


def scores(left: Path, right: Path) -> list[Change]:
    """Rows of the results tables that differ; the difference in units of its standard error where there is one."""
    keys = ("model", "phase", "scheme", "runtime", "suite", "task", "metric")
    sides = []
    for run in (left, right):
        path = run / "results/report/table.csv"
        rows = table.load(path) if path.is_file() else []
        sides.append({" ".join(row[key] for key in keys if row[key]): row for row in rows})
    found = []
    for name in sorted(sides[0].keys() | sides[1].keys()):
        a, b = sides[0].get(name), sides[1].get(name)
        if a is None or b is None or a["value"] != b["value"]:
            note = gap(a, b) if a and b else ""
            found.append(Change(name, a["value"] if a else ABSENT, b["value"] if b else ABSENT, note))
    return found


def gap(a: dict[str, Any], b: dict[str, Any]) -> str:
    """``+0.012 (1.3 standard errors)``; unpaired."""
    difference = float(b["value"]) - float(a["value"])
    error = (float(a["stderr"] or 0) ** 2 + float(b["stderr"] or 0) ** 2) ** 0.5
    text = fixed(difference, 4, plus=True)
    return f"{text} ({fixed(abs(difference) / error)} standard errors)" if error else text


def artefacts(run: Path) -> dict[str, str]:
    """{path: sha256}: members of the folder artefacts by their manifests, and the small files by their bytes."""
    found: dict[str, str] = {}
    results = run / "results"
    for manifest in sorted(results.rglob("*.manifest.json")):
        folder = manifest.relative_to(run).as_posix().removesuffix(".manifest.json")
        found |= {f"{folder}/{name}": value for name, value in read_json(manifest)["files"].items()}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(run).as_posix()
        skipped = name.startswith(UNTRACKED) or name.endswith(".manifest.json") or name in found
        if path.suffix in (".json", ".jsonl", ".csv") and path.is_file() and not skipped:
            found[name] = sha256(path)
    return found


def bytes_changed(left: Path, right: Path) -> tuple[list[Change], int]:
    """(artefacts that differ, number of those that are the same)."""
    a, b = artefacts(left), artefacts(right)
    return changes(a, b), sum(a[name] == b[name] for name in a.keys() & b.keys())
