"""``pocketlm batch MODEL PHASE --step N``: prints the batch that a training read at a step."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlm import artifacts, config
from pocketlm.stages._training import entry_of

IGNORE = -100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm batch``."""
    parser.add_argument("model", help="name in models: of params.yaml")
    parser.add_argument("phase", nargs="?", default="base", choices=("base", "instruct", "call"), help="default: base")
    parser.add_argument("--step", type=int, required=True, help="from 1, as in the curve and in messages")
    parser.add_argument("--round", type=int, help="count the step inside this round, from 1")
    parser.add_argument("--ids", action="store_true", help="print the token ids too")
    parser.add_argument("--rows", type=int, help="only the first so many rows")
    parser.add_argument("--folder", type=Path, default=Path("."), help="run folder (default: here)")


def run(args: argparse.Namespace) -> None:
    """Print the batch: one paragraph a row, a chat row's dialogues apart."""
    params = config.load(args.folder / "params.yaml")
    print("\n".join(lines(params, args)))


def lines(params: config.Params, args: argparse.Namespace) -> Iterator[str]:
    """The batch, line by line."""
    from tokenizers import Tokenizer

    from pocketlm.data.reader import TokenReader
    from pocketlm.training.batches import belonging, known_losses, locate

    model, plan = entry_of(params, args.model, args.phase, str(args.folder / "params.yaml"))
    results, name = args.folder / "results", f"{args.phase}-{args.model}"
    tokens = artifacts.read_json(results / "tokens" / f"{plan.corpus}.manifest.json")["sha256"]
    losses = known_losses(results / "logs" / f"{name}.timing.jsonl", belonging(plan, model.seed, tokens))
    place = locate(plan, model.seed, args.step, args.round, losses)
    reader = TokenReader(results / "tokens" / plan.corpus, "train", plan.seq_len, plan.batch_size, model.seed)
    batch = reader.batch(0, place.batch)
    vocabulary = results / "tokenizers" / params.corpora[plan.corpus].tokenizer / "tokenizer.json"
    if not vocabulary.is_file():
        raise artifacts.ArtifactError(f"{vocabulary}: no such file; make it with: snakemake {vocabulary.parent}")
    tokenizer = Tokenizer.from_file(str(vocabulary))
    own = int((batch.targets != IGNORE).sum())
    yield (
        f"{args.model} {args.phase}: step {place.step + 1} (round {place.round + 1}, batch {place.batch}) of corpus "
        f"{plan.corpus}: {len(batch.inputs)} rows of {plan.seq_len} tokens, {own:,} of them under loss"
    )
    for row in range(len(batch.inputs))[: args.rows]:
        yield f"--- row {row}"
        for ids in documents(batch, row, reader.meta["pad_id"]):
            yield tokenizer.decode(ids, skip_special_tokens=False)
            if args.ids:
                yield "    ids " + " ".join(map(str, ids))


def documents(batch: Any, row: int, pad_id: int) -> Iterator[list[int]]:
    """The token ids of a row's documents, their last target included where it carries a loss; no padding."""
    inputs, targets = batch.inputs[row], batch.targets[row]
    numbers = inputs * 0 if batch.documents is None else batch.documents[row]
    for number in range(int(numbers.max()) + 1):
        at = numbers == number
        if at.any() and not ((inputs[at] == pad_id) & (targets[at] == IGNORE)).all():
            last = int(targets[at][-1])
            yield [*map(int, inputs[at]), *([last] if last != IGNORE else [])]
