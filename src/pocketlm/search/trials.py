"""Short proxy trainings. All take the same data in the same order from the same seed, for the same number of tokens.

Learning rates follow the plan's rule (Muon: orthogonalised updates scaled by the shape of each matrix; AdamW: the rate
times reference / width), so that no shape is favoured by a rate tuned for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketlm import artifacts
from pocketlm.artifacts import ArtifactError
from pocketlm.config import Numerics, Plan, as_dict
from pocketlm.search.propose import architecture_of

Trainer = Callable[..., Mapping[str, Any]]  # (record, plan, folder, seed, numerics, label, checkpoints) -> metrics


def tokens_of(record: Mapping[str, Any], folders: Sequence[Path]) -> Path:
    """The tokens folder of a candidate's tokenizer, told by its vocabulary. Raises ArtifactError."""
    sizes = {folder: int(artifacts.read_json(folder / "meta.json")["vocab_size"]) for folder in folders}
    found = [folder for folder, size in sizes.items() if size == record["vocab_size"]]
    if not found:
        shown = ", ".join(f"{folder} has {size}" for folder, size in sizes.items())
        raise ArtifactError(
            f"candidate {record['name']}: its vocabulary has {record['vocab_size']} tokens, but {shown}; "
            "set vocab_size of the tokenizer to the number that it has"
        )
    return found[0]


def train_proxy(
    record: Mapping[str, Any], plan: Plan, folder: Path, seed: int, numerics: Numerics, label: str, checkpoints: Path
) -> Mapping[str, Any]:
    """Train one candidate and return the metrics of the loop."""
    from pocketlm.data.reader import TokenReader
    from pocketlm.training.job import TrainJob
    from pocketlm.training.loop import train

    readers = {split: TokenReader(folder, split, plan.seq_len, plan.batch_size, seed) for split in ("train", "val")}
    job = TrainJob(
        arch=architecture_of(record),
        vocab_size=int(record["vocab_size"]),
        plan=plan,
        reader=readers["train"],
        validation=readers["val"],
        seed=seed,
        numerics=numerics,
        checkpoints=checkpoints,
        label=label,
    )
    return train(job).metrics


def run_trial(
    record: Mapping[str, Any] | None,
    plan: Plan,
    steps: int,
    folders: Sequence[Path],
    seed: int,
    numerics: Numerics,
    label: str,
    checkpoints: Path,
    trainer: Trainer = train_proxy,
) -> dict[str, Any]:
    """The result of one trial; one that diverges is a result too (``diverged: true``, loss null)."""
    from pocketlm.training.job import Diverged

    plan = replace(plan, steps=steps, rounds=1)
    empty = dict.fromkeys(("name", "anchor", "architecture", "vocab_size", "params", "predicted"))
    found: dict[str, Any] = {**empty, **(record or {}), "candidate": (record or {}).get("architecture"), "steps": steps}
    found |= {"tokens": 0, "loss_bpb": None, "val_loss": None, "diverged": False, "why": None}
    if record is None:
        return found | {"steps": 0, "diverged": True, "why": "too few candidates of the rung before ended with a loss"}
    folder = tokens_of(record, folders)
    own = checkpoints / checkpoint_name(record, plan, folder, seed, numerics)
    try:
        metrics = trainer(record, plan, folder, seed, numerics, label, own)
    except Diverged as error:
        return found | {"diverged": True, "why": str(error)}
    if metrics["val_bits_per_byte"] is None:
        raise ArtifactError(f"{folder}: no held-out text, so trials cannot be compared; raise validation of its corpus")
    return found | {
        "tokens": metrics["tokens"],
        "loss_bpb": metrics["val_bits_per_byte"],
        "val_loss": metrics["val_loss"],
    }


def checkpoint_name(record: Mapping[str, Any], plan: Plan, folder: Path, seed: int, numerics: Numerics) -> str:
    """The name of the checkpoint folder: a hash of all that determines the training, its code among it."""
    from pocketlm.training.checkpoint import key

    inputs = {
        "architecture": record["architecture"],
        "vocab_size": record["vocab_size"],
        "plan": as_dict(plan),
        "seed": seed,
        "numerics": as_dict(numerics),
        "tokens": artifacts.read_json(f"{folder}.manifest.json")["sha256"],
    }
    return f"trial-{key(inputs)}"
