"""Stage ``tokenize-join``: the shards of a corpus, one behind the other; the bytes that one job would have written."""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketlm import artifacts
from pocketlm.stages.tokenize import add_outputs, entry_of, finish, refuse_small, weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm tokenize-join``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in corpora: of params.yaml")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="manifests of its shards, in order")
    parser.add_argument("--tokenizer", type=Path, required=True, help="manifest of the tokenizer folder")
    add_outputs(parser)


def run(args: argparse.Namespace) -> None:
    """Write the tokens folder, its manifest and the contamination report."""
    params, corpus = entry_of(args)
    from pocketlm.data.chat import Chat
    from pocketlm.data.contamination import report, united
    from pocketlm.data.tokens import join_shards, write_meta

    tokenizer = artifacts.check_manifest(artifacts.folder_of(args.tokenizer), args.tokenizer)["sha256"]
    shards = [checked(manifest, tokenizer) for manifest in args.shards]
    about = [artifacts.read_json(shard / "shard.json") for shard in shards]
    with artifacts.atomic_folder(args.out) as folder:
        chat = Chat(artifacts.folder_of(args.tokenizer))
        counts = join_shards(folder, shards, [shard["parts"] for shard in about])
        meta = write_meta(folder, counts, weights(corpus), chat, corpus.kind)
        refuse_small(params, args, folder)
    artifacts.write_json(args.contamination, report(united([shard["contamination"] for shard in about])))
    finish(args, meta)


def checked(manifest: Path, tokenizer: str) -> Path:
    """A shard's folder, its bytes verified; one that another tokenizer encoded is named."""
    folder = artifacts.folder_of(manifest)
    if artifacts.check_manifest(folder, manifest).get("tokenizer") != tokenizer:
        raise artifacts.ArtifactError(f"{folder}: encoded with another tokenizer; make it anew: snakemake {manifest}")
    return folder
