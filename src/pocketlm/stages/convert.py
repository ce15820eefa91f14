"""Command ``convert``: a checkpoint's pickles as safetensors, because a user asked for it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm convert``."""
    parser.add_argument("folder", type=Path, help="Hugging Face folder with pytorch_model.bin, whole or in shards")
    parser.add_argument("--out", required=True, type=Path, help="folder to write; it must not exist")


def run(args: argparse.Namespace) -> None:
    """Write safetensors, config and tokenizer. Raises ArtifactError naming what is missing, damaged or no tensor."""
    from pocketlm import artifacts
    from pocketlm.model.pickles import convert_folder

    if args.out.exists():
        raise artifacts.ArtifactError(f"{args.out}: exists already; name another folder, or remove it")
    with artifacts.atomic_folder(args.out) as out:
        files = convert_folder(args.folder, out)
    print(f"convert: {args.folder} -> {args.out} ({', '.join(files)})")
