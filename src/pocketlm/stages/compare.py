"""Command ``compare``: a scored model of a run beside the published tables of the papers."""

from __future__ import annotations

import argparse

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError, Params, Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm compare``."""
    parser.add_argument("model", help="a model of the run")
    parser.add_argument("--run", default=".", help="run folder (default: this one)")
    parser.add_argument("--paper", action="append", help="a table of conf/papers (default: all); may be repeated")
    parser.add_argument("--phase", help="phase to compare (default: its first scored one)")
    parser.add_argument("--scheme", default="bf16", help="number format (default: bf16)")


def pinned(params: Params) -> dict[str, Task]:
    """{task: how the run scores it}."""
    return {name: task for suite in params.suites.values() for name, task in suite.tasks.items()}


def run(args: argparse.Namespace) -> None:
    """Print one comparison a paper, and its further tables.

    Raises ArtifactError for what was not scored, ConfigError for an unknown name.
    """
    from pocketlm.config import load
    from pocketlm.report import beside, table
    from pocketlm.report.page import PAPERS, load_papers

    params = load(f"{args.run}/params.yaml")
    if args.model not in params.models:
        raise ConfigError(f"compare: no model {args.model!r} in {args.run}; there are: {', '.join(params.models)}")
    known = sorted(path.stem for path in PAPERS.glob("*.yaml"))
    unknown = [name for name in args.paper or [] if name not in known]
    if unknown:
        raise ConfigError(f"compare: no paper {unknown[0]!r}; there are: {', '.join(known)}")
    rows, tasks = table.load(f"{args.run}/results/report/table.csv"), pinned(params)
    phases = ["base", "instruct", "call"] if args.phase is None else [args.phase]
    found = [(phase, beside.own_scores(rows, args.model, phase, args.scheme, tasks)) for phase in phases]
    phase, scores = next(((name, scores) for name, scores in found if scores), ("", {}))
    if not scores:
        raise ArtifactError(
            f"{args.run}: no score of {args.model} as {args.scheme} in {' or '.join(phases)}; score it first"
        )
    label = f"{args.model} {phase} {args.scheme}"
    papers = load_papers([str(PAPERS / f"{name}.yaml") for name in args.paper or known])
    calls, size = beside.own_calls(rows, args.model, args.scheme), size_of(args)
    print("\n\n".join(beside.text(paper, label, size, scores, tasks) + beside.also(paper, calls) for paper in papers))


def size_of(args: argparse.Namespace) -> float | None:
    """Parameters of the model, from its first training here; None for one that was not trained here."""
    from pathlib import Path

    from pocketlm.artifacts import read_json

    paths = [
        Path(args.run) / f"results/models/{args.model}/{phase}.metrics.json" for phase in ("base", "instruct", "call")
    ]
    return next((float(read_json(path)["params"]) for path in paths if path.is_file()), None)
