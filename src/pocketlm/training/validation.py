"""The loss on held-out text."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pocketlm.training import metrics
from pocketlm.training.job import Batch, Validation


def count_targets(targets: Tensor) -> int:
    """Targets that carry a loss."""
    return int((targets != -100).sum())


@torch.no_grad()
def held_out(reader: Validation | None, batches: int, loss: Callable[[Batch], Tensor]) -> tuple[float, float] | None:
    """Held-out loss in (nats a token, bits a byte); None without held-out data. ``loss`` sums a batch's, in nats."""
    nats, tokens, size = 0.0, 0, 0
    if reader is None:
        return None
    for raw in reader.validation_batches(batches):
        batch = Batch.of(raw)
        nats += float(loss(batch))
        tokens += count_targets(batch.targets)
        size += reader.count_bytes(batch.targets.numpy())
    return (nats / tokens, metrics.bits_per_byte(nats, size)) if tokens and size else None
