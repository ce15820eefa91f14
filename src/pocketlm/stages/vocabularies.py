"""Command ``vocabularies``: coverage and embedding share of a tokenizer cut to several sizes; the size by rule."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pocketlm import artifacts
from pocketlm.config import ConfigError, Params, load

SIZES = (8000, 16000, 32000, 48000, 72000, 100000)  # the paper's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm vocabularies``."""
    parser.add_argument("tokenizer", help="a tokenizer of the run that is made, to be cut")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="pieces (default: the paper's sizes)")
    parser.add_argument("--model", required=True, help="model of the run whose parameters the shares are of")
    parser.add_argument("--corpora", nargs="+", help="corpora to count on (default: the tokenizer's own)")
    parser.add_argument("--run", type=Path, default=Path("."), help="run folder (default: this one)")


def check(args: argparse.Namespace, params: Params) -> list[str]:
    """The corpora to count on. Raises ConfigError naming an entry that is not there."""
    for name, among, what in ((args.tokenizer, params.tokenizers, "tokenizer"), (args.model, params.models, "model")):
        if name not in among:
            raise ConfigError(f"vocabularies: no {what} {name!r}; there are: {', '.join(sorted(among))}")
    if params.models[args.model].architecture.kind != "named":
        raise ConfigError(
            f"vocabularies: {args.model} is not named; its shape is not in params.yaml, name another model"
        )
    corpora: list[str] = args.corpora or params.tokenizers[args.tokenizer].corpora
    unknown = [name for name in corpora if name not in params.corpora]
    if unknown or not corpora:
        named = f"no corpus {unknown[0]!r}" if unknown else f"{args.tokenizer} names no corpora"
        raise ConfigError(f"vocabularies: {named}; give --corpora, of: {', '.join(sorted(params.corpora))}")
    return corpora


def run(args: argparse.Namespace) -> None:
    """Print the table and the pick."""
    from tokenizers import Tokenizer

    from pocketlm.data.compress import count_pieces
    from pocketlm.data.corpora import training_texts
    from pocketlm.data.cut_folder import named_tokens
    from pocketlm.data.kept_pieces import refuse_kind, refuse_less
    from pocketlm.data.vocabulary_sizes import pick, table

    params = load(args.run / "params.yaml")
    corpora = check(args, params)
    results = args.run / "results"
    path = results / "tokenizers" / args.tokenizer / "tokenizer.json"
    if not path.is_file():
        raise artifacts.ArtifactError(f"{path}: not made yet; make it with: snakemake {path.parent}.manifest.json")
    sources = {part.source for name in corpora for part in params.corpora[name].parts.values()}
    tokenizer, named = Tokenizer.from_file(str(path)), named_tokens(path.parent)
    description = json.loads(tokenizer.to_str())
    refuse_kind(description, args.tokenizer)
    for size in args.sizes:
        refuse_less(description, size, "vocabularies: --sizes", named)
    counts = count_pieces(
        tokenizer, training_texts(params, corpora, {name: results / "data" / name for name in sources})
    )
    found = table(description, counts, args.sizes, params.models[args.model].architecture, named)
    print(f"{'pieces':>8}  {'coverage %':>10}  {'embedding %':>11}  {'M params':>9}  rule")
    for one in found:
        numbers = f"{one.vocab_size:>8,}  {100 * one.coverage:>10.2f}  {100 * one.embedding_share:>11.2f}"
        print(f"{numbers}  {one.params / 1e6:>9.3f}  {'kept' if one.keeps_the_rule else '-'}")
    best = pick(found)
    wanted = "coverage above 90 % and embedding with head below 20 % of the parameters"
    print(f"\nRule: {wanted}. " + (f"Pick: {best.vocab_size:,} pieces." if best else "No size keeps it."))
