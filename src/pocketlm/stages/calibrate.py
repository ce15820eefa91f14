"""Measures one device by operator shape: the fact that the latency predictor is fitted on."""

from __future__ import annotations

import argparse

from pocketlm import artifacts, config
from pocketlm.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm calibrate``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in devices: of params.yaml")
    parser.add_argument("--out", required=True, help="results/facts/DEVICE/calibration.json")


def run(args: argparse.Namespace) -> None:
    """Write the calibration of a device."""
    params = config.load(args.params)
    if args.entry not in params.devices:
        raise ConfigError(f"{args.params}: devices: no entry {args.entry}; there are: {', '.join(params.devices)}")
    from pocketlm.profiling.calibration import calibrate

    entry = params.devices[args.entry]
    artifacts.write_json(args.out, calibrate(args.entry, entry, params.numerics.precision, entry.quiet_seconds))
