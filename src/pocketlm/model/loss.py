"""Cross-entropy of hidden states against targets, chunk by chunk: the full matrix of logits never exists."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 1 << 25  # logits of one matrix product: enough rows that the head's weights are read seldom
BLOCK_ELEMENTS = 1 << 19  # logits that the softmax passes over together: they stay in a core's cache
IGNORE = -100


def chunk_rows(vocab_size: int) -> int:
    return max(16, CHUNK_ELEMENTS // vocab_size)


def compute_dtype(hidden: Tensor) -> torch.dtype:
    """The dtype of the head's matrix products: autocast's where it is on."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


class CrossEntropySum(torch.autograd.Function):
    """Sum over rows of -log softmax(h W^T)[target], rows with target -100 left out.

    The forward pass computes the gradients of each chunk while its logits are at hand: d logits = softmax - onehot.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
        low = weight.to(dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        total = hidden.new_zeros((), dtype=torch.float32)
        rows = chunk_rows(weight.shape[0])
        for start in range(0, hidden.shape[0], rows):
            part = hidden[start : start + rows].to(dtype)
            grad, loss = loss_gradient(part @ low.t(), targets[start : start + rows])
            total += loss
            grad_hidden[start : start + rows] = grad @ low
            if dtype == grad_weight.dtype:
                grad_weight.addmm_(grad.t(), part)
            else:
                grad_weight += grad.t() @ part
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden.mul_(grads[0]), grad_weight.mul_(grads[0]), None, None


def softmax_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient fp32 [N, V] of the summed losses by ``logits`` fp32 [N, V], which it overwrites, and their sum []."""
    keep = targets != IGNORE
    index = targets.clamp(min=0).unsqueeze(1)
    high = logits.amax(1, keepdim=True)
    picked = logits.gather(1, index) - high
    probability = logits.sub_(high).exp_()
    norm = probability.sum(1, keepdim=True)
    loss = ((norm.log() - picked).squeeze(1) * keep).sum()
    probability.mul_(keep.unsqueeze(1) / norm)
    probability.scatter_add_(1, index, -keep.unsqueeze(1).to(probability.dtype))
    return probability, loss


def loss_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """``softmax_gradient`` in the dtype of ``logits`` [N, V], which it overwrites block by block when it runs eagerly.

    A compiler fuses the passes itself, and a GPU has no need of blocks.
    """
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        grad, loss = softmax_gradient(logits.float(), targets)
        return grad.to(logits.dtype), loss
    total = logits.new_zeros((), dtype=torch.float32)
    rows = max(1, BLOCK_ELEMENTS // logits.shape[1])
    for start in range(0, len(logits), rows):
        block = logits[start : start + rows]
        grad, loss = softmax_gradient(block.float(), targets[start : start + rows])
        total += loss
        if grad.data_ptr() != block.data_ptr():  # fp32 logits were overwritten in place
            block.copy_(grad)
    return logits, total


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The sum of the losses in nats. hidden [N, D], weight [V, D], targets [N] with -100 where no loss is taken."""
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        return CrossEntropySum.apply(hidden, weight, targets, compute_dtype(hidden))
    return token_losses(hidden, weight, targets).sum()


@torch.no_grad()
def token_losses(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The loss in nats of every row, fp32 [N]; 0 where the target is -100."""
    dtype, rows = compute_dtype(hidden), chunk_rows(weight.shape[0])
    low = weight.to(dtype)
    parts = []
    for start in range(0, hidden.shape[0], rows):
        logits = (hidden[start : start + rows].to(dtype) @ low.t()).float()
        parts.append(F.cross_entropy(logits, targets[start : start + rows], ignore_index=IGNORE, reduction="none"))
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)
