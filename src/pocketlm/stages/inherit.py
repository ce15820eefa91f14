"""``pocketlm inherit``: the first weights of a model, cut out of a larger trained one (PanGu-pi Pro)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlm import artifacts, config

if TYPE_CHECKING:
    from pocketlm.inheritance.units import Batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm inherit``."""
    parser.add_argument("--entry", required=True, help="name in models, with inherit")
    parser.add_argument("--arch", type=Path, help="results/arch/aN.json of a searched architecture")
    parser.add_argument("--source", required=True, type=Path, help="manifest of the larger model's phase")
    parser.add_argument(
        "--tokens", required=True, type=Path, help="manifest of the tokens that importance is measured on"
    )
    parser.add_argument("--tokenizer", required=True, type=Path, help="manifest of the tokenizer folder")
    parser.add_argument("--out", required=True, type=Path, help="model folder to write")
    parser.add_argument("--manifest", required=True, type=Path, help="its manifest")
    parser.add_argument("--account", required=True, type=Path, help="what was kept and why, JSON")


def run(args: argparse.Namespace) -> None:
    """Write folder, manifest and account. Raises ConfigError naming what keeps the model from inheriting."""
    from pocketlm import numerics  # before torch
    from pocketlm.stages._training import begin

    params = config.load(args.params)
    numerics.apply(numerics.alone(params.numerics))
    model = params.models[args.entry]
    how, plan = model.inherit, params.plans[str(model.base)]
    if how is None:
        raise config.ConfigError(f"{args.params}: models.{args.entry}.inherit is null; name a source there")

    from pocketlm.inheritance.inherit import inherit
    from pocketlm.inheritance.vocabulary import cut_vocabulary, kept_rows
    from pocketlm.model.folder import load_model, save_model

    folder = artifacts.folder_of(args.source)
    source = artifacts.check_manifest(folder, args.source)
    tokens = artifacts.check_manifest(artifacts.folder_of(args.tokens), args.tokens)
    decoder = load_model(folder)[0].float()
    rows = kept_rows(artifacts.folder_of(args.tokenizer), folder, decoder.vocab_size)
    if rows is not None:
        cut_vocabulary(decoder, rows)
    target = begin(args, model, decoder.vocab_size).arch
    batches = calibration(artifacts.folder_of(args.tokens), plan, how, model.seed)
    state, account = inherit(decoder, target, batches, how, f"{args.params}: models.{args.entry}")
    artifacts.write_json(args.account, {"source": how.model, "phase": how.phase, **account})
    with artifacts.atomic_folder(args.out) as out:
        save_model(state, target, decoder.vocab_size, artifacts.folder_of(args.tokenizer), out, "start")
    artifacts.write_manifest(
        args.out,
        args.manifest,
        model=args.entry,
        phase="start",
        inputs={"source": source["sha256"], "tokens": tokens["sha256"]},
    )
    losses = f"{account['loss_of_source']:.3f} -> {account['loss_at_start']:.3f} nats a token"
    blocks = f"{target.n_layers} of {decoder.arch.n_layers} blocks"
    print(f"inherit {args.entry}: {blocks} of {how.model}; loss {losses} -> {args.out}", file=sys.stderr)


def calibration(folder: Path, plan: config.Plan, how: config.Inherit, seed: int) -> list[Batch]:
    """Batches of the training split, of which importance is measured."""
    import torch

    from pocketlm.data.reader import TokenReader

    reader = TokenReader(folder, "train", plan.seq_len, plan.batch_size, seed)
    found = [reader.batch(0, step) for step in range(how.batches)]
    return [tuple(None if part is None else torch.as_tensor(part) for part in batch) for batch in found]  # type: ignore[misc]
