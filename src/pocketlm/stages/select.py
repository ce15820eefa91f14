"""Writes the Pareto front, all trials, and the winners by rank."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pocketlm import artifacts, config
from pocketlm.config import Params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm select``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--proposal", required=True, help="results/search/proposal.json")
    parser.add_argument("--predictor", required=True, help="results/search/predictor.json")
    parser.add_argument("--rungs", nargs="*", default=[], help="the filled later rungs")
    parser.add_argument("--trials", nargs="+", required=True, help="trials of all rungs")
    parser.add_argument("--random", required=True, help="results/search/random.json")
    parser.add_argument("--out", required=True, help="results/search/front.json")
    parser.add_argument("--arch", nargs="*", default=[], help="architecture files of the winners, by rank")


def rank_of(params: Params, path: str, place: int) -> int:
    """The rank that the model of this file asks for; its place among the files where no model has this name."""
    model = params.models.get(Path(path).stem)
    rank = None if model is None else model.architecture.rank
    return place if rank is None else rank


def run(args: argparse.Namespace) -> None:
    """Write the front and a file for each winner."""
    params = config.load(args.params)
    search, ranks = params.search, [rank_of(params, path, place) for place, path in enumerate(args.arch)]
    from pocketlm.search.select import arch_file, select

    proposal, predictor, random = (artifacts.read_json(p) for p in (args.proposal, args.predictor, args.random))
    trials = [artifacts.read_json(path) for path in args.trials]
    found = select(proposal, predictor, trials, random, max(ranks, default=-1) + 1, search.epsilon, search.separation)
    for rank, path in zip(ranks, args.arch, strict=True):
        winner = found["winners"][rank]
        artifacts.write_json(path, arch_file(winner, rank))
        print(f"select: {winner['name']}: {winner['shape']} ({winner['policy']}) -> {path}", file=sys.stderr)
    artifacts.write_json(args.out, found)
