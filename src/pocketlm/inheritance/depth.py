"""Which blocks to keep: the importance of each, and the choice.

``skip``: the rise of the loss when a block is skipped, one at a time (PanGu-pi Pro, 2402.02791, layer selection;
Shortened-LLaMA's perplexity criterion, 2402.02834). ``taylor``: the sum of |weight x gradient| of a block
(Shortened-LLaMA's first-order criterion, without its normalisations).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pocketlm.inheritance.units import Batch, gradient_terms, matrices
from pocketlm.model.decoder import Decoder


@torch.no_grad()
def mean_loss(model: Decoder, batches: Sequence[Batch]) -> float:
    """Nats a token over the batches."""
    total = sum(float(model.token_losses(*batch).sum(dtype=torch.float64)) for batch in batches)
    return total / sum(int((targets != -100).sum()) for _, targets, _ in batches)


def skipped(model: Decoder, batches: Sequence[Batch]) -> list[float]:
    """Rise of the loss in nats a token without block i, for every i. The model is left as it was."""
    blocks = list(model.model.layers)
    whole = mean_loss(model, batches)
    rises = []
    try:
        for index in range(len(blocks)):
            model.model.layers = nn.ModuleList(blocks[:index] + blocks[index + 1 :])
            rises.append(mean_loss(model, batches) - whole)
    finally:
        model.model.layers = nn.ModuleList(blocks)
    return rises


def by_gradient(model: Decoder, batches: Sequence[Batch]) -> list[float]:
    """Sum of |weight x gradient| over a block's matrices and the batches, for every block."""
    sums = [0.0] * model.arch.n_layers
    for term in gradient_terms(model, batches):
        for number in range(model.arch.n_layers):
            names = [f"model.layers.{number}.{name}.weight" for name in matrices(model.arch.gated)]
            sums[number] += sum(float(term(name).rows.sum()) for name in names)
    return sums


def keep_blocks(importance: Sequence[float], count: int, ends: int) -> list[int]:
    """Numbers of the ``count`` blocks to keep, ascending: the first and last ``ends``, then the most important.

    The first and last blocks matter most in every model that the paper looked at, whatever a score says. Of equal
    ones the earlier is kept. With fewer than ``2 * ends`` to keep, first and last take turns.
    """
    total = len(importance)
    turns = [number for pair in zip(range(total), reversed(range(total))) for number in pair]
    fixed = list(dict.fromkeys(turns[: 2 * ends]))[:count]
    rest = sorted((n for n in range(total) if n not in fixed), key=lambda n: (-importance[n], n))
    return sorted([*fixed, *rest[: count - len(fixed)]])
