"""How the processes of a training share it: alone, copies of the model (``ddp``), or shards of it (``fsdp``).

Each strategy says how the model is laid out, how gradients are summed, how a decision is agreed on, and which tensors a
checkpoint holds. Every rank's loss is its share of the mean over the global batch, so that gradients are summed, never
averaged, whatever the number of ranks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Plan
from pocketlm.numerics import Runtime
from pocketlm.training.optimizers import Optimizer

LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "TCPStore")  # words of a broken group


class Alone:
    """One process."""

    sharded = False

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def place(self, model: Any) -> Any:
        """The model where it is trained. Called once, before the optimizer is made."""
        return model.to(self.runtime.device)

    def loss_of(self, model: Any) -> Callable[..., Tensor]:
        """The model's loss, compiled where ``numerics`` says so."""
        compiled: Callable[..., Tensor] = torch.compile(model.loss) if self.runtime.compile else model.loss
        return compiled

    def optimizer(self, model: nn.Module, plan: Plan, d_model: int) -> Optimizer:
        """The optimizer of the part of the model that this process updates."""
        return Optimizer(model, plan, d_model, self.runtime.bf16)

    def reduce(self, loss: Tensor, optimizer: Optimizer) -> Tensor:
        """Sum gradients and loss [] over the ranks, after the last backward pass of a step."""
        return loss

    def agreed(self, wanted: bool) -> bool:
        """Whether any rank wants it; the host waits for the other hosts, never for a device."""
        return wanted

    def total(self, value: float) -> float:
        """The sum of a number over the ranks, of which each has its share."""
        return value

    def layout(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
        """Weights and optimizer state by name, the tensors themselves; the same names whatever the strategy."""
        state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        return state | {f"optimizer.{name}": tensor for name, tensor in optimizer.tensors().items()}

    def whole(self, model: nn.Module) -> dict[str, Tensor]:
        """The weights, fp32 on the CPU; of a sharded model only on rank 0."""
        return {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}

    def lost_another(self, error: RuntimeError) -> bool:
        """Whether ``error`` is only the echo of another rank's end."""
        return False

    def leave(self) -> None:
        """Leave the group of processes, at the end or after an error."""


class Replicated(Alone):
    """Every rank holds the whole model and takes its share of each batch.

    Not torch's DistributedDataParallel: that lays its messages out anew after the first step, by the order in which
    gradients came. With three ranks or more a resumed training would then add in another order than one that was not
    interrupted, and end in other bytes. One flat message adds in the same order always.
    """

    def reduce(self, loss: Tensor, optimizer: Optimizer) -> Tensor:
        for param in optimizer.params:
            param.grad = torch.zeros_like(param) if param.grad is None else param.grad
        grads = [param.grad for param in optimizer.params if param.grad is not None]
        flat = torch.cat([loss.view(1)] + [grad.reshape(-1) for grad in grads])
        torch.distributed.all_reduce(flat)
        parts = flat[1:].split([grad.numel() for grad in grads])
        torch._foreach_copy_(grads, [part.view_as(grad) for part, grad in zip(parts, grads)])
        return flat[0]

    def agreed(self, wanted: bool) -> bool:
        flag = torch.tensor([int(wanted)])
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return bool(flag)

    def total(self, value: float) -> float:
        summed = torch.tensor([value], dtype=torch.float64)
        torch.distributed.all_reduce(summed)
        return float(summed)

    def lost_another(self, error: RuntimeError) -> bool:
        return not isinstance(error, ArtifactError) and any(word in str(error) for word in LOST)

    def leave(self) -> None:
        """Without it gloo may abort a process that ends, and NCCL complains; but after an error NCCL would wait."""
        failed = sys.exc_info()[0] is not None
        if torch.distributed.is_initialized() and not (failed and self.runtime.device.type == "cuda"):
            torch.distributed.destroy_process_group()


def strategy(runtime: Runtime, parallel: str) -> Alone:
    """How ``runtime.world_size`` processes train: ``parallel`` is ddp or fsdp."""
    if runtime.world_size == 1:
        return Alone(runtime)
    if parallel == "ddp":
        return Replicated(runtime)
    from pocketlm.training.sharded import Sharded  # a second of imports

    return Sharded(runtime)
