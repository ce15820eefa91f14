"""The certificate of a finished run: hashes, facts, values and environment; what ``pocketlm verify`` compares with.

It is one JSON file without time, host or path, small enough for git or a mail. Facts travel inside it, so that a
second machine computes from the same ones. Provenance says what each artefact was made of. Values (losses, scores)
are what is compared within tolerance where another instruction set gives other bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, digest, members, read_json, sha256
from pocketlm.engines.dag import Job, open_dag
from pocketlm.engines.environment import commit, describe, folder_of_run

FORMAT = 2
FACT_RULES = {"calibrate", "profile"}
LOSS, SCORE, ERRORS = 0.02, 0.02, 3.0  # relative; absolute; standard errors
FACT = 0.25  # of a measurement that is made again, relative, in the median


def finished(folder: Path) -> tuple[dict[str, Any], list[Job]]:
    """(params.yaml as plain data, jobs) of a run. Raises ArtifactError for a run that is not up to date."""
    with open_dag(folder) as dag:
        params, jobs = dict(dag.workflow.config), dag.jobs
    stale = [job.name for job in jobs if job.needed]
    if stale:
        raise ArtifactError(f"{folder}: not finished: {', '.join(stale[:5])}; finish it first: pocketlm run {folder}")
    return params, jobs


def path_hash(path: Path) -> str:
    """sha256 of a file, or of a folder's {member: sha256}. Raises ArtifactError where there is nothing."""
    if not path.exists():
        raise ArtifactError(f"{path}: no such artefact; finish the run first: snakemake")
    return digest(members(path)) if path.is_dir() else sha256(path)


def has_values(path: str) -> bool:
    """Losses and scores: the numbers that are compared where bytes differ."""
    return path.endswith(".metrics.json") or path.startswith(("results/scores/", "results/search/trials/"))


def leaves(data: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """(dotted key, number) of every finite number in plain data, booleans left out."""
    if isinstance(data, dict):
        for name in sorted(data):
            yield from leaves(data[name], f"{key}.{name}" if key else name)
    elif isinstance(data, list):
        for position, item in enumerate(data):
            yield from leaves(item, f"{key}[{position}]")
    elif isinstance(data, (int, float)) and not isinstance(data, bool) and math.isfinite(data):
        yield key, float(data)


def values(path: Path) -> dict[str, float]:
    """{key: number} of a table; a score is named by what it is a score of, and stands beside its standard error."""
    data = read_json(path)
    if not (isinstance(data, list) and data and "metric" in data[0]):
        return dict(leaves(data))
    found: dict[str, float] = {}
    for row in data:
        name = "/".join(str(row[key]) for key in ("phase", "scheme", "task", "metric") if row.get(key) is not None)
        found |= {f"{name} {key}": float(row[key]) for key in ("value", "stderr") if row.get(key) is not None}
    return found


def tolerance(key: str, value: float, table: dict[str, float]) -> float:
    """How far a value may lie from the certificate's: three standard errors of a score, a fiftieth of a loss."""
    if key.endswith(" value"):
        return max(SCORE, ERRORS * table.get(key.removesuffix("value") + "stderr", 0.0))
    if key.endswith(" stderr"):
        return math.inf
    exact = any(word in key for word in ("params", "tokens", "steps", "architecture", "candidate"))
    return 0.0 if exact else LOSS * abs(value)


def outside(wanted: dict[str, float], found: dict[str, float]) -> list[str]:
    """A line for each value that is missing or lies outside its tolerance."""
    lines = [f"{key}: missing" for key in sorted(wanted.keys() - found.keys())]
    for key in sorted(wanted.keys() & found.keys()):
        if abs(wanted[key] - found[key]) > tolerance(key, wanted[key], wanted):
            lines.append(f"{key}: {wanted[key]:g} -> {found[key]:g}")
    return lines


def provenance(folder: Path, jobs: list[Job]) -> dict[str, Any]:
    """{stage: what its artefacts were made of}: parameters by key, inputs by path, code by hash."""
    found = {}
    for job in jobs:
        code = {path for path in job.inputs if path.startswith("results/code/")}
        found[job.name] = {
            "code": {path: sha256(folder / path) for path in code},
            "inputs": sorted(set(job.inputs) - code),
            "outputs": sorted(job.outputs),
            "parameters": sorted(set(job.keys)),
        }
    return found


def make(folder: Path, jobs: list[Job], params: dict[str, Any]) -> dict[str, Any]:
    """The certificate of a finished run folder (the working directory). Raises ArtifactError for a missing artefact."""
    outputs = [(job, path) for job in jobs for path in job.outputs]
    facts = {path: read_json(folder / path) for job, path in outputs if job.rule in FACT_RULES}
    return {
        "format": FORMAT,
        "recipe": params.get("_recipe", ""),
        "run": folder_of_run(folder),
        "params": sha256(folder / "params.yaml"),
        "source": commit(),
        "environment": describe(params["numerics"]),
        "facts": facts,
        "provenance": provenance(folder, jobs),
        "artefacts": {path: path_hash(folder / path) for job, path in outputs if job.rule not in FACT_RULES},
        "values": {path: values(folder / path) for _, path in outputs if has_values(path) and path.endswith(".json")},
    }


def load(path: Path) -> dict[str, Any]:
    """Read a certificate. Raises ArtifactError for another format."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT or "artefacts" not in data:
        raise ArtifactError(f"{path}: no certificate of format {FORMAT}; write one with: pocketlm verify")
    return data
