"""Stage ``tokenizer``: train, import or compress one tokenizer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pocketlm import artifacts, config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm tokenizer``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in tokenizers: of params.yaml")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="manifests of the sources of its corpora")
    parser.add_argument("--base", type=Path, help="manifest of the tokenizer that a compressed one is cut from")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--manifest", type=Path, required=True, help="its manifest")


def run(args: argparse.Namespace) -> None:
    """Write the tokenizer's folder and manifest."""
    params = config.load(args.params)
    if args.entry not in params.tokenizers:
        known = ", ".join(sorted(params.tokenizers))
        raise config.ConfigError(f"{args.params}: tokenizers.{args.entry}: no such entry; there are {known}")
    with artifacts.atomic_folder(args.out) as folder:
        report = make(args, params, folder)
    artifacts.write_manifest(args.out, args.manifest, **report)
    shown = ", ".join(f"{key} {value}" for key, value in report.items() if key != "kind")
    print(f"tokenizer {args.entry}: {shown} -> {args.out}", file=sys.stderr)


def folders_of(manifests: list[Path]) -> dict[str, Path]:
    """{source: its folder}, each checked against its manifest."""
    for manifest in manifests:
        artifacts.check_manifest(artifacts.folder_of(manifest), manifest)
    return {artifacts.folder_of(manifest).name: artifacts.folder_of(manifest) for manifest in manifests}


def make(args: argparse.Namespace, params: config.Params, folder: Path) -> dict[str, Any]:
    """Build the tokenizer into ``folder``; returns what its manifest says."""
    from pocketlm.data import tokenizer
    from pocketlm.data.corpora import training_texts

    entry = params.tokenizers[args.entry]
    if entry.kind == "imported":
        if not entry.path:
            raise config.ConfigError(f"tokenizers.{args.entry}.path: missing; it names a local Hugging Face folder")
        return tokenizer.import_folder(entry.path, folder)
    if not entry.corpora:
        raise config.ConfigError(f"tokenizers.{args.entry}.corpora: empty; a {entry.kind} tokenizer needs text")
    data = folders_of(args.data)

    def texts() -> Any:
        return training_texts(params, entry.corpora, data)

    if entry.kind == "compressed":
        return compressed(args, entry, texts, folder)
    made = tokenizer.train(texts(), entry.vocab_size, entry.digits, args.entry)
    report = {"kind": entry.kind, "vocab_size": made.get_vocab_size(), **tokenizer.coverage(made, texts())}
    tokenizer.save(made, folder, report)
    return report


def compressed(args: argparse.Namespace, entry: config.Tokenizer, texts: Any, folder: Path) -> dict[str, Any]:
    """Cut the base into ``folder``; returns what the manifest says."""
    from tokenizers import Tokenizer

    from pocketlm.data import cut_folder, tokenizer
    from pocketlm.data.compress import compress

    if args.base is None:
        raise artifacts.ArtifactError(f"tokenizer {args.entry}: --base is missing (the manifest of '{entry.base}')")
    source = artifacts.folder_of(args.base)
    artifacts.check_manifest(source, args.base)
    base = Tokenizer.from_file(str(source / "tokenizer.json"))
    made, more = compress(base, texts(), entry.vocab_size, args.entry, cut_folder.named_tokens(source))
    report = {"kind": entry.kind, "vocab_size": made.get_vocab_size(), **tokenizer.coverage(made, texts())}
    cut_folder.save_cut(made, source, folder, report | more)
    return report | {key: value for key, value in more.items() if key != "kept_ids"}
