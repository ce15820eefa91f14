"""Trains the random arm: candidates drawn uniformly from the feasible ones, as long as the search's last rung."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from pocketlm import artifacts, config
from pocketlm.stages.trial import CHECKPOINTS, checked, proxy_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm random``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--candidates", required=True, help="proposal.json")
    parser.add_argument("--tokens", type=Path, nargs="+", required=True, help="manifests of the search's tokens")
    parser.add_argument("--out", required=True, help="results/search/random.json")


def run(args: argparse.Namespace) -> None:
    """Write the trials of the random arm."""
    from pocketlm.numerics import alone, check  # before torch

    params = config.load(args.params)
    plan, search = proxy_plan(params, args.params), params.search
    drawn = artifacts.read_json(args.candidates)["random"]
    runtime = alone(params.numerics)
    check(runtime)
    folders = checked(args.tokens)
    from pocketlm.search.trials import run_trial

    trials, own = [], CHECKPOINTS / "random"
    for number, record in enumerate(drawn):
        label = f"random {number + 1}/{len(drawn)}"
        found = run_trial(record, plan, search.rungs[-1].steps, folders, search.seed, runtime, label, own)
        trials.append(found | {"slot": number, "rung": None})
    best = min((t["loss_bpb"] for t in trials if not t["diverged"]), default=None)
    artifacts.write_json(args.out, {"trials": trials, "best": best, "tokens": sum(t["tokens"] for t in trials)})
    shutil.rmtree(own, ignore_errors=True)
    print(f"random: best of {len(trials)}: {best} bits per byte -> {args.out}", file=sys.stderr)
