"""Which batch a step of a training read, found again at any time: data order is a pure function of seed and step.

A further round (PanGu-pi Pro) draws its batches by the losses of the rounds before; at the end of each round they are
kept beside the timing log, with what they belong to.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pocketlm.artifacts import ArtifactError, atomic_path, digest
from pocketlm.config import ConfigError, Plan, as_dict
from pocketlm.training.job import TrainJob
from pocketlm.training.rounds import RoundOrder


class Place(NamedTuple):
    """Where a batch was read, all from 0: step of the training, its round, the batch's number."""

    step: int
    round: int
    batch: int


def losses_path(timing: Path) -> Path:
    """Where the losses by step are kept, beside a training's timing log."""
    return timing.with_name(timing.name.replace(".timing.jsonl", ".losses.npz"))


def belonging(plan: Plan, seed: int, tokens: str) -> str:
    """What kept losses belong to: a hash of all that says which batch is which. ``tokens``: the corpus's sha256."""
    return digest({"plan": as_dict(plan), "seed": seed, "tokens": tokens})


def keep_losses(job: TrainJob, losses: Tensor) -> None:
    """Keep the losses by step [done] of a training that has further rounds."""
    if job.plan.rounds > 1 and job.timing is not None:
        with atomic_path(losses_path(job.timing)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, losses=losses.numpy(), belongs=job.belongs)


def known_losses(timing: Path, belongs: str) -> Tensor | None:
    """The losses by step that a training kept; None where it kept none, or those of another plan, seed or corpus."""
    path = losses_path(timing)
    if not path.is_file():
        return None
    with np.load(path) as kept:
        return torch.from_numpy(kept["losses"]) if str(kept["belongs"]) == belongs else None


def locate(plan: Plan, seed: int, step: int, round_: int | None, losses: Tensor | None) -> Place:
    """The batch that ``step`` (from 1, of the whole training, or of ``round_``, from 1) reads.

    Raises ConfigError for a step that the plan does not have, ArtifactError where a further round's losses are gone.
    """
    order = RoundOrder(plan, seed)
    if round_ is not None and not 1 <= round_ <= plan.rounds:
        raise ConfigError(f"--round {round_}: the plan has {plan.rounds} round(s)")
    first, end = (0, order.total) if round_ is None else (order.starts[round_ - 1], order.starts[round_])
    if not 1 <= step <= end - first:
        raise ConfigError(f"--step {step}: choose one from 1 to {end - first}")
    own = first + step - 1
    if order.round_of(own) == 0:
        return Place(own, 0, own)
    if losses is None or len(losses) < order.starts[order.round_of(own)]:
        raise ArtifactError(
            f"step {own + 1} is of round {order.round_of(own) + 1}, whose batches were drawn by the losses of the "
            "rounds before; results/logs does not have those of this plan, seed and corpus: train again on this "
            "machine, or name a step of round 1"
        )
    return Place(own, *order.batch_of(own, losses))
