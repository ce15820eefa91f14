"""What ``pretrain``, ``instruct`` and ``call`` share: the same loop; data, mask and schedule differ by their plan."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm import artifacts, config
from pocketlm.config import Architecture, ConfigError, Model, Params, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from pocketlm.training.job import TrainJob, TrainResult


def add_arguments(parser: argparse.ArgumentParser, starts_from: str | None) -> None:
    """The common arguments; ``starts_from`` names the phase that ``--init`` is of, None for pre-training."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in models: of params.yaml")
    if starts_from is None:
        parser.add_argument("--arch", type=Path, help="results/arch/aN.json of a searched architecture")
    else:
        parser.add_argument("--init", type=Path, required=True, help=f"manifest of the {starts_from} model")
    parser.add_argument("--tokens", type=Path, required=True, help="manifest of the tokens folder")
    parser.add_argument("--tokenizer", type=Path, required=True, help="manifest of the tokenizer folder")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--manifest", type=Path, required=True, help="its manifest")
    parser.add_argument("--metrics", type=Path, required=True, help="final losses, JSON")
    parser.add_argument("--curve", type=Path, required=True, help="loss, rate and gradient norm by step, CSV")


@dataclass
class Start:
    """What a training begins with: architecture, weights (None: from the seed), and the hash of where they are from."""

    arch: Architecture
    state: dict[str, Tensor] | None
    sha256: str | None


def run(args: argparse.Namespace, stage: str, phase: str) -> None:
    """Train one phase of one model and write its folder, manifest, metrics and curve."""
    from pocketlm import numerics  # before torch

    params = config.load(args.params)
    model, plan = entry_of(params, args.entry, phase, args.params)
    numerics.check(params.numerics)
    tokens = tokens_of(args.tokens)
    tokenizer = artifacts.check_manifest(artifacts.folder_of(args.tokenizer), args.tokenizer)
    vocab_size = int(artifacts.read_json(artifacts.folder_of(args.tokens) / "meta.json")["vocab_size"])
    start = begin(args, model, vocab_size)
    if plan.seq_len > start.arch.max_seq_len:
        raise ConfigError(
            f"{args.params}: plan of {args.entry}: seq_len={plan.seq_len} is longer than the model's "
            f"max_seq_len={start.arch.max_seq_len}; shorten the plan or lengthen the model"
        )
    inputs = {"tokens": tokens["sha256"], "tokenizer": tokenizer["sha256"], "init": start.sha256}
    job = job_of(args, stage, phase, params, start, vocab_size, inputs)

    from pocketlm.training.loop import train

    result = train(job)
    if numerics.rank() == 0:
        write(args, job, phase, result, inputs)


def tokens_of(manifest: Path) -> dict[str, Any]:
    """The manifest's data. One process of a node reads every byte of the folder; a corpus may be hundreds of GB.

    Where it finds a difference it fails, and torchrun ends the others with it.
    """
    from pocketlm import numerics

    if numerics.local_rank() == 0:
        return artifacts.check_manifest(artifacts.folder_of(manifest), manifest)
    return artifacts.read_json(manifest)


def entry_of(params: Params, entry: str, phase: str, name: str) -> tuple[Model, Plan]:
    """The model of ``entry`` and its plan for ``phase``; ConfigError names what is missing."""
    if entry not in params.models:
        raise ConfigError(f"{name}: models: no entry {entry}; there are: {', '.join(sorted(params.models))}")
    plan = getattr(params.models[entry], phase)
    if plan is None:
        raise ConfigError(f"{name}: models.{entry}.{phase} is null: this phase is not made; name a plan there")
    if plan not in params.plans:
        raise ConfigError(f"{name}: models.{entry}.{phase}={plan}: no such plan; there are: {sorted(params.plans)}")
    return params.models[entry], params.plans[plan]


def begin(args: argparse.Namespace, model: Model, vocab_size: int) -> Start:
    """Architecture and first weights: of ``--init``, of ``--arch``, or of the entry itself."""
    if getattr(args, "init", None) is not None:
        from pocketlm.model.folder import load_model

        folder = artifacts.folder_of(args.init)
        manifest = artifacts.check_manifest(folder, args.init)
        decoder, arch, _ = load_model(folder)
        state = {name: tensor.float() for name, tensor in decoder.state_dict().items()}
        return Start(arch, state, manifest["sha256"])
    if args.arch is None:
        if model.architecture.kind == "searched":
            raise ConfigError(f"models.{args.entry}: its architecture is searched; give --arch results/arch/aN.json")
        return Start(model.architecture, None, None)
    data = artifacts.read_json(args.arch)
    if int(data.get("vocab_size", vocab_size)) != vocab_size:
        raise artifacts.ArtifactError(
            f"{args.arch}: vocab_size {data['vocab_size']}, but {args.tokens} has {vocab_size}; "
            "give the tokens of this architecture's tokenizer"
        )
    known = {field.name for field in fields(Architecture)}
    return Start(replace(Architecture(), **{k: v for k, v in data.items() if k in known}), None, None)


def job_of(
    args: argparse.Namespace,
    stage: str,
    phase: str,
    params: Params,
    start: Start,
    vocab_size: int,
    inputs: dict[str, Any],
) -> TrainJob:
    """The training job of this stage, with the checkpoint folder that is its own."""
    from pocketlm.data.reader import TokenReader
    from pocketlm.training.batches import belonging
    from pocketlm.training.checkpoint import key, layout
    from pocketlm.training.job import TrainJob

    model, plan = entry_of(params, args.entry, phase, args.params)
    determined = {
        "architecture": config.as_dict(start.arch),
        "plan": config.as_dict(plan),
        "seed": model.seed,
        "numerics": config.as_dict(replace(params.numerics, world_size=1, parallel="ddp")),  # those are the layout
        "vocab_size": vocab_size,
        **inputs,
    }
    folder = artifacts.folder_of(args.tokens)
    name = f"{phase}-{args.entry}"
    processes = layout(params.numerics.world_size, params.numerics.parallel)
    return TrainJob(
        arch=start.arch,
        vocab_size=vocab_size,
        plan=plan,
        reader=TokenReader(folder, "train", plan.seq_len, plan.batch_size, model.seed),
        validation=TokenReader(folder, "val", plan.seq_len, plan.batch_size, model.seed),
        seed=model.seed,
        numerics=params.numerics,
        init_state=start.state,
        checkpoints=Path("results/checkpoints") / f"{name}-{key(determined)}{processes}",
        timing=Path("results/logs") / f"{name}.timing.jsonl",
        belongs=belonging(plan, model.seed, inputs["tokens"]),
        label=f"{stage} {args.entry}",
    )


def write(args: argparse.Namespace, job: TrainJob, phase: str, result: TrainResult, inputs: dict[str, Any]) -> None:
    """The outputs, the manifest last; then the checkpoints go."""
    import shutil
    import sys

    from pocketlm.model.folder import save_model
    from pocketlm.training.checkpoint import Checkpoints
    from pocketlm.training.metrics import write_curve

    for leftover in args.out.parent.glob(f".{args.out.name}.*.partial"):  # of a process that was killed right here
        shutil.rmtree(leftover, ignore_errors=True)
    artifacts.write_json(args.metrics, result.metrics)
    write_curve(args.curve, result.curve)
    with artifacts.atomic_folder(args.out) as folder:
        save_model(result.state, job.arch, job.vocab_size, artifacts.folder_of(args.tokenizer), folder, phase)
    artifacts.write_manifest(args.out, args.manifest, model=args.entry, phase=phase, inputs=inputs)
    if job.checkpoints is not None:
        Checkpoints(job.checkpoints).remove()
    bits = result.metrics["val_bits_per_byte"]
    shown = "no held-out text" if bits is None else f"{bits:.4f} bits per byte on held-out text"
    print(f"{job.label}: {shown} -> {args.out}", file=sys.stderr, flush=True)
