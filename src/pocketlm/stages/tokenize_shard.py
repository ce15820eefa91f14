"""Stage ``tokenize-shard``: encode one shard of a large corpus, beside the others, on other cores or machines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pocketlm import artifacts, config
from pocketlm.stages.tokenize import counter, entry_of, watched
from pocketlm.stages.tokenizer import folders_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm tokenize-shard``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in corpora: of params.yaml")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="manifests of its sources and of the tasks")
    parser.add_argument("--tokenizer", type=Path, required=True, help="manifest of the tokenizer folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shard to write")
    parser.add_argument("--manifest", type=Path, required=True, help="its manifest")


def run(args: argparse.Namespace) -> None:
    """Write the shard's folder (parts, counts, contamination) and its manifest."""
    params, corpus = entry_of(args)
    if not 0 <= args.shard < corpus.shards:
        raise config.ConfigError(
            f"{args.params}: corpora.{args.entry}.shards is {corpus.shards}: there is no shard {args.shard}"
        )
    from pocketlm.data import corpora
    from pocketlm.data.chat import Chat
    from pocketlm.data.contamination import Contamination
    from pocketlm.data.tokens import write_parts

    folders, label = folders_of(args.data), f"tokenize-shard {args.entry}-{args.shard}"
    tokenizer = artifacts.check_manifest(artifacts.folder_of(args.tokenizer), args.tokenizer)
    check = Contamination(corpora.suite_items(params, corpus.decontaminate, folders))
    with artifacts.atomic_folder(args.out) as folder:
        streams = corpora.shard_streams(corpus, folders, args.shard, folder)
        parts = {name: watched(stream, check, corpus.validation) for name, stream in streams.items()}
        chat = Chat(artifacts.folder_of(args.tokenizer))
        counts = write_parts(folder, parts, chat, corpus.kind, corpus.validation, counter(label))
        artifacts.write_json(folder / "shard.json", {"parts": counts, "contamination": check.found()})
    artifacts.write_manifest(args.out, args.manifest, tokenizer=tokenizer["sha256"])
    tokens = sum(split["tokens"] for part in counts.values() for split in part.values())
    print(f"{label}: {tokens:,} tokens -> {args.out}", file=sys.stderr)
