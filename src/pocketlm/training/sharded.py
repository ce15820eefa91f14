"""FSDP2: every rank holds a shard of each parameter, of its gradient and of the optimizer's state.

``fully_shard`` (torch.distributed.fsdp) gathers the weights of one block at a time and scatters its gradients. Shards
are rows: rank r has the r-th chunk of dimension 0. AdamW works on shards as they are. Muon needs whole matrices: each
is put together on one rank, orthogonalised there, and its update dealt out again: no rank does another's work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from pocketlm.config import Plan
from pocketlm.numerics import Runtime
from pocketlm.training.optimizers import MUON_MOMENTUM, MuonGroup, Optimizer, by_shape, gradient, orthogonalise
from pocketlm.training.parallel import Replicated


def rows_of(size: int, ranks: int) -> list[int]:
    """Rows of each rank's shard, as ``torch.chunk`` cuts ``size`` rows."""
    each = -(-size // ranks)
    return [max(0, min(size, (rank + 1) * each) - rank * each) for rank in range(ranks)]


class Exchange:
    """Puts matrices together from shards, each on one rank, and takes them apart. ``shapes`` are of whole matrices."""

    def __init__(self, shapes: list[torch.Size], first: int) -> None:
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.shapes, self.rows = shapes, [rows_of(shape[0], self.ranks) for shape in shapes]
        owner = [(first + i) % self.ranks for i in range(len(shapes))]
        self.of = [[i for i, rank in enumerate(owner) if rank == r] for r in range(self.ranks)]
        self.owned = self.of[self.rank]

    def _sizes(self, matrices: list[int], rank: int) -> list[int]:
        return [self.rows[i][rank] * self.shapes[i][1] for i in matrices]

    def _send(self, parts: list[list[Tensor]], sizes: list[int], like: Tensor) -> list[Tensor]:
        """One message from each rank to each: ``parts`` by receiver; the parts by sender."""
        flat = torch.cat([like.new_empty(0), *(part.reshape(-1) for row in parts for part in row)])
        received = like.new_empty(sum(sizes))
        dist.all_to_all_single(received, flat, sizes, [sum(part.numel() for part in row) for row in parts])
        return list(received.split(sizes))

    def gather(self, shards: list[Tensor]) -> list[Tensor]:
        """The matrices [r, c] that this rank owns, from every rank's shards of all."""
        sizes = [sum(self._sizes(self.owned, rank)) for rank in range(self.ranks)]
        received = self._send([[shards[i] for i in self.of[rank]] for rank in range(self.ranks)], sizes, shards[0])
        pieces = [part.split(self._sizes(self.owned, rank)) for rank, part in enumerate(received)]
        return [torch.cat([row[k] for row in pieces]).view(self.shapes[i]) for k, i in enumerate(self.owned)]

    def scatter(self, wholes: list[Tensor], like: Tensor) -> list[Tensor]:
        """This rank's shards of all matrices, from those that it and the others own. ``like`` gives the dtype."""
        parts = [
            [whole.split(self.rows[i])[rank] for i, whole in zip(self.owned, wholes)] for rank in range(self.ranks)
        ]
        received = self._send(parts, [sum(self._sizes(matrices, self.rank)) for matrices in self.of], like)
        shards: dict[int, Tensor] = {}
        for matrices, part in zip(self.of, received):
            shards |= dict(zip(matrices, part.split(self._sizes(matrices, self.rank))))
        return [shards[i].view(-1, self.shapes[i][1]) for i in range(len(self.shapes))]


class ShardedMuonGroup:
    """As ``optimizers.MuonGroup``, over shards: the momentum lies in shards too."""

    def __init__(self, params: list[Tensor], shapes: list[torch.Size], bf16: bool, first: int) -> None:
        self.params, self.bf16, self.exchange = params, bf16, Exchange(shapes, first)
        self.momentum = [torch.zeros_like(param) for param in params]
        self.scales = [max(1.0, r / c) ** 0.5 for r, c in shapes]

    def slots(self) -> dict[str, list[Tensor]]:
        """The state, one shard in the shape of each parameter's."""
        return {"momentum": self.momentum}

    def step(self, lr: float, weight_decay: float) -> None:
        grads = [gradient(p) for p in self.params]
        torch._foreach_lerp_(self.momentum, grads, 1 - MUON_MOMENTUM)
        torch._foreach_lerp_(grads, self.momentum, MUON_MOMENTUM)
        shards = [grad.bfloat16() for grad in grads] if self.bf16 else grads
        updates = self.exchange.scatter(self._orthogonal(self.exchange.gather(shards)), shards[0])
        if weight_decay:
            torch._foreach_mul_(self.params, 1 - lr * weight_decay)
        scaled = [update.float().mul_(scale) for update, scale in zip(updates, self.scales)]
        torch._foreach_add_(self.params, scaled, alpha=-lr)

    @staticmethod
    def _orthogonal(wholes: list[Tensor]) -> list[Tensor]:
        if not wholes:
            return []
        tall = [whole.shape[0] > whole.shape[1] for whole in wholes]
        wide = torch.stack([MuonGroup._wide(whole, t) for whole, t in zip(wholes, tall)])
        return [MuonGroup._wide(update, t) for update, t in zip(orthogonalise(wide).unbind(), tall)]


class ShardedOptimizer(Optimizer):
    """Updates this rank's shards. ``params`` are plain tensors that share the memory of the model's DTensors."""

    def leaves(self, model: nn.Module) -> dict[str, Tensor]:
        self.dtensors: dict[str, DTensor] = {name: p for name, p in model.named_parameters() if isinstance(p, DTensor)}
        with torch.no_grad():
            return {name: p.to_local() for name, p in self.dtensors.items()}

    def muon_groups(self, matrices: list[Tensor], bf16: bool) -> list[Any]:
        wholes = [self.dtensors[self.names[id(matrix)]] for matrix in matrices]
        local = {id(whole): matrix for whole, matrix in zip(wholes, matrices)}
        groups, first = [], 0
        for group in by_shape(list(wholes)):
            params = [local[id(whole)] for whole in group]
            groups.append(ShardedMuonGroup(params, [whole.shape for whole in group], bf16, first))
            first += len(group)
        return groups

    def whole_norm(self, norm: Tensor) -> Tensor:
        squares = norm.square()
        dist.all_reduce(squares)
        return squares.sqrt()

    def collect(self) -> None:
        """Hand the gradients' shards to the plain tensors."""
        for name, tensor in zip(self.dtensors, self.params):
            whole = self.dtensors[name]
            tensor.grad = whole.grad.to_local() if isinstance(whole.grad, DTensor) else None
            whole.grad = None


class Sharded(Replicated):
    """FSDP2 over all ranks, by block and root."""

    sharded = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.mesh = dist.init_device_mesh(runtime.device.type, (runtime.world_size,))

    def place(self, model: Any) -> Any:
        """Shard block by block: no device ever holds more than one whole block. ``model`` is on the CPU."""
        for block in model.model.layers:
            if self.runtime.compile:
                block.compile()  # by block: the gathering between them is no part of a graph
            fully_shard(block, mesh=self.mesh)
        fully_shard(model, mesh=self.mesh)
        for module in (*model.model.layers, model):
            module.set_gradient_divide_factor(1.0)  # shares of the global mean are summed
            module.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sum
        register_fsdp_forward_method(model, "loss")
        return model.to(self.runtime.device)  # what is no parameter

    def loss_of(self, model: Any) -> Any:
        return model.loss

    def optimizer(self, model: nn.Module, plan: Plan, d_model: int) -> Optimizer:
        return ShardedOptimizer(model, plan, d_model, self.runtime.bf16)

    def reduce(self, loss: Tensor, optimizer: Optimizer) -> Tensor:
        assert isinstance(optimizer, ShardedOptimizer)
        optimizer.collect()
        dist.all_reduce(loss)
        return loss

    def layout(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
        assert isinstance(optimizer, ShardedOptimizer)
        state: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for name, tensor in optimizer.tensors().items():
            like = optimizer.dtensors.get(name.partition(".")[2])
            state[f"optimizer.{name}"] = tensor if like is None else as_shard(tensor, like)
        return state

    def whole(self, model: nn.Module) -> dict[str, Tensor]:
        state = {}
        for name, tensor in model.state_dict().items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.runtime.rank == 0:
                state[name] = full.detach().float().cpu()
        return state


def as_shard(tensor: Tensor, like: DTensor) -> DTensor:
    """The DTensor laid out as ``like`` whose shard is ``tensor``; they share memory."""
    return DTensor.from_local(
        tensor, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
