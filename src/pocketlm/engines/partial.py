"""A report of what there is, after a run in which some jobs failed: the others' results must not wait for a repair."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pocketlm.engines import graph
from pocketlm.engines.closure import ROOT

TRAININGS = ("pretrain", "pretrain_inherited", "instruct", "call")


def training_logs(config: graph.base.Config) -> list[str]:
    """Logs of the trainings: a diverged one has no other output."""
    return [f"results/logs/{stage}-{model}.log" for model in config["models"] for stage in TRAININGS]


FILES = {
    "scores": graph.everything.scores,
    "samples": graph.everything.samples,
    "metrics": graph.everything.metrics,
    "curves": graph.everything.curves,
    "logs": training_logs,
    "facts": graph.everything.profile_facts,
    "front": graph.everything.front,
    "predictor": graph.everything.predictor,
    "sizes": graph.everything.sizes,
    "contamination": graph.everything.contamination,
    "data-manifests": graph.deployments.report_data,
    "papers": graph.deployments.report_papers,
}
FOLDER = "results/report/partial"


def partial_report(config: graph.base.Config) -> str:
    """Write ``results/report/partial/`` from the files that exist; returns a line for the terminal.

    It is no artefact: the whole report is made by its own job, once nothing is missing.
    """
    found = {name: [path for path in paths(config) if Path(path).is_file()] for name, paths in FILES.items()}
    if not found["metrics"]:
        return "No model was trained yet: nothing to report."
    files = [word for name, paths in found.items() if paths for word in (f"--{name}", *paths)]
    outputs = {"--out": "index.html", "--table": "table.csv", "--metrics-out": "metrics.json"}
    files += [word for flag, name in outputs.items() for word in (flag, f"{FOLDER}/{name}")]
    command = [sys.executable, "-m", "pocketlm", "report", *files]
    own = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=own)
    missing = [line for line in done.stderr.splitlines() if "missing" in line]
    if done.returncode:
        return f"No report of what there is: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
    return "\n".join([*missing, f"What there is: {FOLDER}/index.html"])
