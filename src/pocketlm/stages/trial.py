"""Trains the proxy of one slot of one rung."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from pocketlm import artifacts, config
from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError, Params, Plan

CHECKPOINTS = Path("results/checkpoints")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm trial``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--rung", type=int, required=True, help="number of the rung, from 0")
    parser.add_argument("--slot", type=int, required=True, help="number of the slot, from 0")
    parser.add_argument("--candidates", required=True, help="proposal.json, or rungN.json of a later rung")
    parser.add_argument("--tokens", type=Path, nargs="+", required=True, help="manifests of the search's tokens")
    parser.add_argument("--out", required=True, help="trial to write")


def proxy_plan(params: Params, name: str) -> Plan:
    """The plan of all trials; ConfigError where it is not there."""
    if params.search.plan not in params.plans:
        raise ConfigError(
            f"{name}: search.plan={params.search.plan}: no such plan; there are: {', '.join(params.plans)}"
        )
    return params.plans[params.search.plan]


def checked(manifests: list[Path]) -> list[Path]:
    """The folders of tokens manifests, their bytes verified."""
    folders = [artifacts.folder_of(manifest) for manifest in manifests]
    for folder, manifest in zip(folders, manifests, strict=True):
        artifacts.check_manifest(folder, manifest)
    return folders


def run(args: argparse.Namespace) -> None:
    """Write one trial."""
    from pocketlm.numerics import alone, check  # before torch

    params = config.load(args.params)
    plan = proxy_plan(params, args.params)
    if not 0 <= args.rung < len(params.search.rungs):
        raise ConfigError(f"{args.params}: search.rungs: there is no rung {args.rung}")
    slots = artifacts.read_json(args.candidates)["slots"]
    if not 0 <= args.slot < len(slots):
        raise ArtifactError(
            f"{args.candidates}: no slot {args.slot}, it has {len(slots)}; make it anew: snakemake {args.candidates}"
        )
    runtime = alone(params.numerics)
    check(runtime)
    folders = checked(args.tokens)
    from pocketlm.search.trials import run_trial

    steps, own = params.search.rungs[args.rung].steps, CHECKPOINTS / f"r{args.rung}-s{args.slot}"
    label = f"trial r{args.rung}-s{args.slot}"
    found = run_trial(slots[args.slot], plan, steps, folders, params.search.seed, runtime, label, own)
    artifacts.write_json(args.out, found | {"rung": args.rung, "slot": args.slot})
    shutil.rmtree(own, ignore_errors=True)
