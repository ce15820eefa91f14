"""Fits the latency predictor, filters the search space by budget and fills the first rung."""

from __future__ import annotations

import argparse
import sys
import time

from pocketlm import artifacts, config
from pocketlm.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm propose``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--calibration", required=True, help="results/facts/DEVICE/calibration.json")
    parser.add_argument("--predictor", required=True, help="latency predictor to write")
    parser.add_argument("--out", required=True, help="proposal to write")


def run(args: argparse.Namespace) -> None:
    """Write the predictor and the proposal."""
    params = config.load(args.params)
    search = params.search
    for name in search.anchors:
        if name not in params.models:
            raise ConfigError(f"{args.params}: search.anchors: no model {name}; there are: {', '.join(params.models)}")
    from pocketlm.profiling.predictor import Predictor
    from pocketlm.search.propose import propose

    predictor = Predictor.fitted(artifacts.read_json(args.calibration))
    anchors = {name: params.models[name].architecture for name in search.anchors}
    vocabularies = {name: entry.vocab_size for name, entry in params.tokenizers.items()}
    began = time.perf_counter()
    proposal = propose(search, anchors, vocabularies, predictor)
    seconds = time.perf_counter() - began
    artifacts.write_json(args.predictor, predictor.as_dict())
    artifacts.write_json(args.out, proposal)
    errors = {phase: found["median_percent"] for phase, found in predictor.about["validation"].items()}
    print(
        f"propose: {proposal['candidates_total']:,} candidates filtered in {seconds:.2f} s "
        f"({proposal['candidates_total'] / seconds:,.0f}/s), {proposal['feasible']:,} feasible; median error of the "
        f"predictor on unseen models: prefill {errors['prefill']}%, decode {errors['decode']}% -> {args.out}",
        file=sys.stderr,
    )
