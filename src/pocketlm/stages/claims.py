"""Stage ``claims``: the table and the figure of all claims of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pocketlm import artifacts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm claims``."""
    parser.add_argument("--claims", type=Path, nargs="+", required=True, help="results/claims/*.json")
    parser.add_argument("--table", type=Path, required=True, help="Markdown, results/claims/table.md")
    parser.add_argument("--figure", type=Path, required=True, help="results/claims/figure.svg")


def run(args: argparse.Namespace) -> None:
    """Write table and figure, and print the table."""
    from pocketlm.claims.figure import draw
    from pocketlm.claims.table import render

    rows = [artifacts.read_json(path) for path in args.claims]
    artifacts.write_text(args.table, render(rows))
    artifacts.write_text(args.figure, draw(rows))
    print(f"claims: {len(rows)} -> {args.table}", file=sys.stderr)
