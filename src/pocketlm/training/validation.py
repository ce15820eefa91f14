"""The loss on held-out text."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pocketlm.training import metrics
from pocketlm.training.job import Batch, Validation
from pocketlm.training.parallel import Alone


def count_targets(targets: Tensor) -> int:
    """Targets that carry a loss."""
    return int((targets != -100).sum())


@torch.no_grad()
def held_out(
    reader: Validation | None, batches: int, rows: int, parallel: Alone, loss: Callable[[Batch], Tensor]
) -> tuple[float, float] | None:
    """Held-out loss in (nats a token, bits a byte); None without held-out data. ``loss`` sums a batch's, in nats.

    The batches are taken ``rows`` at a time, as in a training step, and dealt to the ranks. Called by all ranks.
    """
    nats, tokens, size = 0.0, 0, 0
    if reader is None:
        return None
    for raw in reader.validation_batches(batches):
        batch = Batch.of(raw)
        nats += _own_share(batch, rows, parallel, loss)
        tokens += count_targets(batch.targets)
        size += reader.count_bytes(batch.targets.numpy())
    nats = parallel.total(nats)
    return (nats / tokens, metrics.bits_per_byte(nats, size)) if tokens and size else None


def _own_share(batch: Batch, rows: int, parallel: Alone, loss: Callable[[Batch], Tensor]) -> float:
    """The losses of this rank's slices of a batch, in nats.

    A rank for which none is left takes the last one again and does not count it: where each holds a shard of the
    model, all must go through it equally often.
    """
    rank, ranks = parallel.runtime.rank, parallel.runtime.world_size
    starts, nats = range(0, len(batch.targets), rows), 0.0
    for first in range(0, len(starts), ranks):
        start = starts[min(first + rank, len(starts) - 1)]
        part = float(loss(batch.rows(slice(start, start + rows))))
        nats += part if first + rank < len(starts) else 0.0
    return nats
