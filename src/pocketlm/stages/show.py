"""Command ``show``: the results table of a run in the terminal."""

from __future__ import annotations

import argparse
import shutil
import sys

from pocketlm.artifacts import ArtifactError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm show``."""
    parser.add_argument("run", nargs="?", default=".", help="run folder (default: this one)")
    parser.add_argument("--metric", help="metric to show where a task has several (acc_norm, argument_f1, …)")
    parser.add_argument("--model", action="append", help="only this model; may be repeated")
    parser.add_argument("--phase", help="only this phase")
    parser.add_argument("--csv", action="store_true", help="print the tidy rows instead")


def pinned(run: str) -> dict[tuple[str, str], str]:
    """{(suite, task): metric} that the run's params.yaml pins."""
    from pocketlm.config import load

    suites = load(f"{run}/params.yaml").suites
    return {(suite, name): task.metric for suite, entry in suites.items() for name, task in entry.tasks.items()}


def run(args: argparse.Namespace) -> None:
    """Print the table. Raises ArtifactError where the run has no report yet."""
    from pocketlm.report import show, table

    path = f"{args.run}/results/report/table.csv".removeprefix("./")
    rows = table.load(path)
    if args.model:
        rows = [row for row in rows if row["model"] in args.model]
    if args.phase:
        rows = [row for row in rows if row["phase"] in (args.phase, "")]
    if not rows:
        raise ArtifactError(f"{path}: no row is of model {args.model or 'any'} and phase {args.phase or 'any'}")
    if args.csv:
        table.stream(rows, sys.stdout)
        return
    print(show.draw(show.grid(rows, args.metric, pinned(args.run)), shutil.get_terminal_size((120, 24)).columns))
    print(f"\nPercent ± standard error; all numbers: {path}; the page: {path.replace('table.csv', 'index.html')}")
