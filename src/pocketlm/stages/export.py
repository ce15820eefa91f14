"""Command ``export``: a produced model as a checkpoint of another layout (Llama, MobileLLM, PhoneLM)."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm export``."""
    parser.add_argument("folder", type=Path, help="model folder, e.g. results/models/mobilellm/base")
    parser.add_argument("--layout", required=True, choices=("llama", "mobilellm", "phonelm"), help="whose config.json")
    parser.add_argument("--out", required=True, type=Path, help="folder to write; it must not exist")


def run(args: argparse.Namespace) -> None:
    """Write config.json, safetensors and the tokenizer. Raises ArtifactError naming what the layout cannot express."""
    from pocketlm import artifacts
    from pocketlm.model.exports import export_folder

    if args.out.exists():
        raise artifacts.ArtifactError(f"{args.out}: exists already; name another folder, or remove it")
    with artifacts.atomic_folder(args.out) as out:
        export_folder(args.folder, args.layout, out)
    print(f"export: {args.folder} in the layout of {args.layout} -> {args.out}")
