"""``pocketlm import``: a local Llama, MobileLLM or PhoneLM folder becomes the base phase of a model entry."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pocketlm import artifacts, config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm import``."""
    parser.add_argument("--params", default="params.yaml", type=Path)
    parser.add_argument("--entry", required=True, help="name in models, with architecture.kind imported")
    parser.add_argument("--out", required=True, type=Path, help="model folder, results/models/<entry>/base")
    parser.add_argument("--manifest", required=True, type=Path)


def run(args: argparse.Namespace) -> None:
    """Check config and tensors, write the folder in the checkpoint's own number format.

    Raises ConfigError or ArtifactError naming what does not fit.
    """
    params = config.load(args.params)
    if args.entry not in params.models:
        raise config.ConfigError(f"{args.params}: models: no entry {args.entry}; there are: {', '.join(params.models)}")
    source = params.models[args.entry].architecture.path
    if not source:
        raise config.ConfigError(f"{args.params}: models.{args.entry}.architecture.path is empty; name a model folder")

    from pocketlm.model.folder import save_model
    from pocketlm.model.imports import common_dtype, import_folder

    state, arch, vocab_size = import_folder(source)
    dtype = common_dtype(state, source)
    with artifacts.atomic_folder(args.out) as folder:
        save_model(state, arch, vocab_size, source, folder, "base", dtype=dtype)
    artifacts.write_manifest(args.out, args.manifest, model=args.entry, phase="base")
    print(f"import {args.entry}: {source} in {str(dtype).removeprefix('torch.')} -> {args.out}", file=sys.stderr)
