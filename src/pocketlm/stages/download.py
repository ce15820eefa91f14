"""Stage ``download``: fetch or generate one source; its manifest holds hashes, licence and origin."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pocketlm import artifacts, config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm download``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in sources: of params.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--manifest", type=Path, required=True, help="its manifest")


def run(args: argparse.Namespace) -> None:
    """Write the source's folder and manifest."""
    from pocketlm.data.fetch import obtain

    params = config.load(args.params)
    if args.entry not in params.sources:
        known = ", ".join(sorted(params.sources))
        raise config.ConfigError(f"{args.params}: sources.{args.entry}: no such source; there are {known}")
    with artifacts.atomic_folder(args.out) as folder:
        about = obtain(params.sources[args.entry], args.entry, folder, params.world)
    data = artifacts.write_manifest(args.out, args.manifest, **about)
    print(f"download {args.entry}: {len(data['files'])} files, verified -> {args.out}", file=sys.stderr)
