"""``pocketlm dvc``: dvc.yaml from the Snakefile's DAG, one stage a job.

A stage runs its one job through Snakemake, so that ``dvc repro`` reaches a cluster too. The stages are explicit
rather than ``foreach``: a reader finds each artefact by name, and ``dvc status`` and ``dvc repro pretrain-a0`` take
those names.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from pocketlm.artifacts import write_text
from pocketlm.config import ConfigError
from pocketlm.engines.closure import ROOT
from pocketlm.engines.dag import Job, open_dag

HEADER = "# Written by pocketlm dvc from the Snakefile; do not edit. pocketlm dvc --check finds a difference.\n"
PLOTS = {
    "training loss": {"x": "step", "y": "loss"},
    "learning rate": {"x": "step", "y": "lr"},
    "gradient norm": {"x": "step", "y": "grad_norm"},
}
# All numbers of a run: a plot, since DVC's run-cache leaves out a stage with any other output that it does not cache.
TABLE = {"results/report/table.csv": {"cache": False, "template": "scatter", "x": "task", "y": "value"}}


def is_metric(path: str) -> bool:
    """Small JSON tables that are committed to git and shown by ``dvc metrics``."""
    return path.endswith(".metrics.json") or path == "results/report/metrics.json"


def is_plot(path: str) -> bool:
    """Curves, and the table of all numbers, that are committed to git and shown by ``dvc plots``."""
    return path.endswith(".curve.csv") or path in TABLE


def is_claim(path: str) -> bool:
    """Values, table and figure of claims are committed to git; no plots, so DVC makes them again: a second each."""
    return path.startswith("results/claims/")


def command(job: Job, snakefile: str) -> str:
    """The stage's command. Its comment is a hash of the rule's shell command: DVC sees an edited rule too."""
    where = "" if snakefile == "Snakefile" else f"-s {snakefile} "
    return f"snakemake {where}--quiet all --allowed-rules {job.rule} -- {job.outputs[0]} # {job.shell}"


def stage(job: Job, snakefile: str) -> dict[str, Any]:
    """One DVC stage: its command, dependencies, parameters by key, outputs, metrics, plots."""
    entry: dict[str, Any] = {"cmd": command(job, snakefile), "deps": sorted(set(job.inputs))}
    if job.keys:
        entry["params"] = sorted(set(job.keys))
    outs = sorted(path for path in job.outputs if not is_metric(path) and not is_plot(path))
    entry["outs"] = [{path: {"cache": False}} if is_claim(path) else path for path in outs]
    for section, chosen in (("metrics", is_metric), ("plots", is_plot)):
        paths = sorted(filter(chosen, job.outputs))
        if paths:
            entry[section] = [{path: dict(TABLE.get(path, {"cache": False}))} for path in paths]
    return entry


def code_stage(jobs: list[Job], root: str) -> dict[str, Any]:
    """The stage that makes ``results/code``: the one dependency on sources, so that a stage is stale by meaning."""
    outs = sorted({path for job in jobs for path in job.inputs if path.startswith("results/code/")})
    deps = [f"{root}/requirements.txt", f"{root}/src/pocketlm"] if root != "." else ["requirements.txt", "src/pocketlm"]
    stages = " ".join(Path(path).stem for path in outs)
    return {"cmd": f"pocketlm code {stages}", "deps": deps, "outs": outs}


def document(jobs: list[Job], snakefile: str) -> dict[str, Any]:
    """The whole dvc.yaml as plain data. Raises ConfigError if two jobs would have one name."""
    stages = {"code": code_stage(jobs, os.path.dirname(snakefile) or ".")}
    stages |= {job.name: stage(job, snakefile) for job in jobs}
    if len(stages) != len(jobs) + 1:
        doubled = sorted({job.name for job in jobs if [other.name for other in jobs].count(job.name) > 1})
        raise ConfigError(f"params.yaml: two jobs have one stage name: {', '.join(doubled)}; rename an entry")
    curves = sorted(path for job in jobs for path in job.outputs if path.endswith(".curve.csv"))
    plots = [{title: {"x": axes["x"], "y": dict.fromkeys(curves, axes["y"])}} for title, axes in PLOTS.items()]
    artifacts = {
        job.name.replace("_", "-"): {"path": job.outputs[0], "type": "model"}
        for job in jobs
        if job.rule in ("pretrain", "pretrain_inherited", "instruct", "call", "quantize")
    }
    sections: dict[str, Any] = {"stages": stages}
    return sections | ({"plots": plots, "artifacts": artifacts} if curves else {})


def render(jobs: list[Job], folder: Path) -> str:
    """The text of a run folder's dvc.yaml."""
    import yaml

    snakefile = os.path.relpath(ROOT / "Snakefile", folder.resolve())
    return HEADER + yaml.safe_dump(document(jobs, snakefile), sort_keys=False, width=10000)


def write(folder: Path, jobs: list[Job]) -> bool:
    """Write dvc.yaml if it differs; returns whether it did."""
    text, path = render(jobs, folder), folder / "dvc.yaml"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    write_text(path, text)
    return True


def drift(folder: Path, jobs: list[Job]) -> list[str]:
    """Names of stages in which dvc.yaml and the DAG differ, and what differs."""
    import yaml

    path = folder / "dvc.yaml"
    if not path.is_file():
        return ["dvc.yaml: no such file"]
    text = path.read_text(encoding="utf-8")
    if text == render(jobs, folder):
        return []
    found = (yaml.safe_load(text) or {}).get("stages", {})
    wanted = document(jobs, os.path.relpath(ROOT / "Snakefile", folder.resolve()))["stages"]
    lines = [f"{name}: only in dvc.yaml" for name in sorted(found.keys() - wanted.keys())]
    lines += [f"{name}: not in dvc.yaml" for name in sorted(wanted.keys() - found.keys())]
    for name in sorted(found.keys() & wanted.keys()):
        keys = sorted(found[name].keys() | wanted[name].keys())
        lines += [f"{name}: {key} differs" for key in keys if found[name].get(key) != wanted[name].get(key)]
    return lines or ["dvc.yaml: plots or artifacts differ"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm dvc``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--check", action="store_true", help="exit 2 if dvc.yaml differs from the DAG; write nothing")


def run(args: argparse.Namespace) -> None:
    """Write or check the run folder's dvc.yaml."""
    with open_dag(args.folder) as dag:
        jobs = dag.jobs
    if args.check:
        lines = drift(args.folder, jobs)
        if lines:
            raise ConfigError(f"{args.folder}/dvc.yaml: {'; '.join(lines)}; write it again with: pocketlm dvc")
        print(f"{args.folder}/dvc.yaml: equals the DAG ({len(jobs)} stages)")
    else:
        changed = write(args.folder, jobs)
        print(f"{args.folder}/dvc.yaml: {len(jobs)} stages, {'written' if changed else 'unchanged'}")
