"""Fills a rung with the best candidates of the rung before."""

from __future__ import annotations

import argparse
import sys

from pocketlm import artifacts, config
from pocketlm.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm promote``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--rung", type=int, required=True, help="number of the rung to fill, from 1")
    parser.add_argument("--trials", nargs="+", required=True, help="trials of the rung before")
    parser.add_argument("--out", required=True, help="results/search/rungN.json")


def run(args: argparse.Namespace) -> None:
    """Write the slots of a rung."""
    params = config.load(args.params)
    if not 1 <= args.rung < len(params.search.rungs):
        raise ConfigError(f"{args.params}: search.rungs: there is no rung {args.rung} to promote to")
    from pocketlm.search.halving import promote

    slots = promote([artifacts.read_json(path) for path in args.trials], params.search.rungs[args.rung].slots)
    artifacts.write_json(args.out, {"rung": args.rung, "slots": slots})
    names = "; ".join(slot["name"] for slot in slots if slot)
    print(f"promote: rung {args.rung}: {names} -> {args.out}", file=sys.stderr)
