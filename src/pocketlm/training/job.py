"""What a training is given and what it returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture, ConfigError, Numerics, Plan


class Batch(NamedTuple):
    """Token ids int64 [B, T]; ``documents`` and ``positions`` only where a row holds several documents."""

    inputs: Tensor
    targets: Tensor  # -100: no loss
    documents: Tensor | None = None
    positions: Tensor | None = None

    @classmethod
    def of(cls, arrays: Iterable[Any]) -> Batch:
        """The batch of a reader's arrays, without a copy."""
        return cls(*(None if array is None else torch.as_tensor(array) for array in arrays))  # type: ignore[arg-type]

    def rows(self, part: slice) -> Batch:
        """Only these rows."""
        return Batch(*(None if tensor is None else tensor[part] for tensor in self))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``."""
        if device.type == "cpu":
            return self
        return Batch(*(None if t is None else t.to(device, non_blocking=True) for t in self))  # type: ignore[arg-type]


class Diverged(ArtifactError):
    """A training whose loss became NaN, infinite, or worse than guessing. ``step`` is 1-based, ``batch`` 0-based."""

    def __init__(self, label: str, step: int, round_: int, batch: int, why: str) -> None:
        super().__init__(
            f"{label}: diverged at step {step} (round {round_ + 1}, batch {batch}): {why}; "
            "lower lr / muon_lr or raise warmup in its plan; the other models go on with snakemake --keep-going"
        )
        self.step, self.round, self.batch = step, round_, batch


class Reader(Protocol):
    """Random access to training batches: a pure function of (seed, round, step)."""

    def batch(self, round: int, step: int, rows: slice | None = None) -> Any:
        """(inputs, targets, documents or None, positions or None) of a batch, or only of its ``rows``."""


class Validation(Protocol):
    """Held-out batches, the same each time."""

    def validation_batches(self, n: int) -> Iterable[Any]:
        """At most ``n`` batches."""

    def count_bytes(self, targets: Any) -> int:
        """Bytes of text that the targets of a batch stand for."""


@dataclass
class TrainJob:
    """One training. ``label`` is shown and names it in errors; paths are optional (a trial has none)."""

    arch: Architecture
    vocab_size: int
    plan: Plan
    reader: Reader
    seed: int
    numerics: Numerics = field(default_factory=Numerics)
    validation: Validation | None = None
    init_state: dict[str, Tensor] | None = None  # weights to start from; default: initialised from the seed
    checkpoints: Path | None = None  # folder; None: no checkpoints
    timing: Path | None = None  # .jsonl; None: no timing log
    belongs: str = ""  # what the losses belong to that are kept beside it (``batches.belonging``)
    label: str = "train"


@dataclass
class TrainResult:
    """Trained weights (fp32, on the CPU), metrics (plain data) and curve rows (``metrics.COLUMNS``)."""

    state: dict[str, Tensor]
    metrics: dict[str, Any]
    curve: list[dict[str, Any]]


def check_plan(plan: Plan, numerics: Numerics) -> None:
    """Raise ConfigError for a plan that this many ranks cannot train."""
    micro = plan.micro_batch or plan.batch_size
    if plan.batch_size % numerics.world_size:
        raise ConfigError(
            f"plans: batch_size={plan.batch_size} does not divide over numerics.world_size={numerics.world_size}; "
            "make it a multiple"
        )
    if (plan.batch_size // numerics.world_size) % min(micro, plan.batch_size // numerics.world_size):
        raise ConfigError(
            f"plans: micro_batch={micro} does not divide the batch of a rank "
            f"({plan.batch_size // numerics.world_size}); choose a divisor"
        )
