"""Stage ``claim``: compare the two sides of one claim of a paper, paired by seed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pocketlm import artifacts, config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm claim``."""
    parser.add_argument("--entry", required=True, help="name in claims: of params.yaml")
    parser.add_argument("--metrics", type=Path, nargs="*", default=[], help="results/models/M/base.metrics.json")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="results/scores/SUITE/M.json")
    parser.add_argument("--facts", type=Path, nargs="*", default=[], help="results/facts/DEVICE/PROFILE.json")
    parser.add_argument("--out", type=Path, required=True, help="results/claims/ENTRY.json")


def run(args: argparse.Namespace) -> None:
    """Write the comparison. Raises ConfigError or ArtifactError naming what is missing."""
    from pocketlm.claims.compare import compare

    params = config.load(args.params)
    if args.entry not in params.claims:
        known = ", ".join(sorted(params.claims)) or "none; compose recipe=claims"
        raise config.ConfigError(f"{args.params}: claims.{args.entry}: no such claim; there are: {known}")
    claim = {"claim": args.entry, **config.as_dict(params.claims[args.entry])}
    metrics = {path.parent.name: artifacts.read_json(path) for path in args.metrics}
    rows = [row for path in args.scores for row in artifacts.read_json(path)]
    facts: list[dict[str, Any]] = [row for path in args.facts for row in artifacts.read_json(path)["rows"]]
    result = compare(claim, metrics, rows, facts)
    artifacts.write_json(args.out, result)
    print(f"claim {args.entry}: gain {result['gain']:+.4f}, {result['verdict']} -> {args.out}", file=sys.stderr)
