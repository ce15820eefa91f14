"""AdamW and Muon over stacked tensors. Calls torch's fused kernel itself: ``torch.optim`` costs a second of imports.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers"): momentum, then the nearest orthogonal matrix by
Newton-Schulz, for the 2-D matrices inside the layers. Embeddings, head, norms and all else go to AdamW
(Loshchilov and Hutter, arXiv 1711.05101).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pocketlm.config import ConfigError, Plan
from pocketlm.training.schedules import batch_factor, width_factor

MUON_MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic's coefficients: steepest at 0, singular values end in 0.7..1.2
NEWTON_SCHULZ_STEPS = 5
GRAM_ASPECT = 1.8  # columns a row from which iterating on the Gram matrix is less work
EPSILON = 1e-8


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearly the nearest orthogonal matrix [n, r, c] of ``matrices`` [n, r, c] with r <= c; keeps the dtype."""
    a, b, c = NEWTON_SCHULZ
    x = matrices / (torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True) + 1e-7).to(matrices.dtype)
    if x.dtype == torch.float32 and x.shape[2] >= GRAM_ASPECT * x.shape[1]:
        return torch.bmm(gram_factor(torch.bmm(x, x.mT)), x)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def gram_factor(gram: Tensor) -> Tensor:
    """The matrix Q [n, r, r] with Q X = Newton-Schulz of X, from G = X X^T alone: a third less work where c = 3 r.

    X_k+1 = P_k X_k with P_k = aI + b G_k + c G_k^2, hence Q = P_4 .. P_0 and G_k+1 = P_k G_k P_k. Needs fp32: a small
    singular value is squared in G.
    """
    a, b, c = NEWTON_SCHULZ
    product = None
    for step in range(NEWTON_SCHULZ_STEPS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else torch.bmm(factor, product)
        if step < NEWTON_SCHULZ_STEPS - 1:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    assert product is not None
    return product


class MuonGroup:
    """Matrices of one shape (up to transposition), updated together. momentum [n, r, c], r <= c."""

    def __init__(self, params: list[Tensor], bf16: bool) -> None:
        self.params, self.bf16 = params, bf16
        self.tall = [p.shape[0] > p.shape[1] for p in params]
        self.momentum = torch.stack([self._wide(p.detach(), tall) for p, tall in zip(params, self.tall)]).zero_()
        scales = [max(1.0, p.shape[0] / p.shape[1]) ** 0.5 for p in params]  # equal output RMS for fan-out matrices
        self.scale = torch.tensor(scales, device=params[0].device).view(-1, 1, 1)

    @staticmethod
    def _wide(matrix: Tensor, tall: bool) -> Tensor:
        return matrix.mT if tall else matrix

    def slots(self) -> dict[str, list[Tensor]]:
        """The state, one view in the shape of each parameter."""
        return {"momentum": [self._wide(m, tall) for m, tall in zip(self.momentum.unbind(), self.tall)]}

    def step(self, lr: float, weight_decay: float) -> None:
        grads = torch.stack([self._wide(gradient(p), tall) for p, tall in zip(self.params, self.tall)])
        self.momentum.lerp_(grads, 1 - MUON_MOMENTUM)
        nesterov = grads.lerp_(self.momentum, MUON_MOMENTUM)
        update = orthogonalise(nesterov.bfloat16() if self.bf16 else nesterov).float().mul_(self.scale)
        updates = [self._wide(u, tall) for u, tall in zip(update.unbind(), self.tall)]
        if weight_decay:
            torch._foreach_mul_(self.params, 1 - lr * weight_decay)
        torch._foreach_add_(self.params, updates, alpha=-lr)


class AdamWGroup:
    """Parameters with one rate and one weight decay, updated by one fused call."""

    def __init__(self, params: list[Tensor], lr: float, weight_decay: float, plan: Plan) -> None:
        self.params, self.lr, self.weight_decay = params, lr, weight_decay
        self.beta1, self.beta2 = plan.beta1, plan.beta2
        self.exp_avg = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in params]
        self.exp_avg_sq = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in params]

    def slots(self) -> dict[str, list[Tensor]]:
        """The state, one tensor in the shape of each parameter."""
        return {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq}

    def step(self, lr_factor: float, steps: Tensor) -> None:
        """``steps`` float [] counts the updates, this one included."""
        torch._fused_adamw_(
            self.params,
            [gradient(p) for p in self.params],
            self.exp_avg,
            self.exp_avg_sq,
            [],
            [steps] * len(self.params),
            lr=self.lr * lr_factor,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )


def gradient(param: Tensor) -> Tensor:
    """The parameter's gradient; zeros where the loss does not depend on it."""
    return torch.zeros_like(param) if param.grad is None else param.grad


def hidden_matrices(model: nn.Module) -> dict[str, Tensor]:
    """{name: weight} of the linear layers inside the blocks: what Muon trains and the width rule scales."""
    found: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith("lm_head"):
            found[f"{name}.weight"] = module.weight
    return found


class Optimizer:
    """Muon + AdamW, or AdamW alone, as ``plan.optimizer`` says. ``step(factor)`` takes the schedule's share."""

    def __init__(self, model: nn.Module, plan: Plan, d_model: int, bf16: bool = False) -> None:
        if plan.optimizer not in ("muon", "adamw"):
            raise ConfigError(f"plans: optimizer={plan.optimizer}: unknown; use muon or adamw")
        named = self.leaves(model)
        self.names = {id(p): name for name, p in named.items()}
        matrices = {name: named[name] for name in hidden_matrices(model) if name in named}
        others = {name: p for name, p in named.items() if name not in matrices}
        decayed = [p for name, p in others.items() if p.ndim == 2 and name.endswith("weight")]  # embeddings, head
        rest = [p for p in others.values() if all(p is not d for d in decayed)]  # norms, scales
        self.params: list[Tensor] = list(named.values())
        self.weight_decay = plan.weight_decay
        self.muon_lr = plan.muon_lr * batch_factor(plan)
        self.lr = plan.lr * batch_factor(plan)
        self.muon: list[Any] = []
        groups = [(decayed, self.lr, plan.weight_decay), (rest, self.lr, 0.0)]
        if plan.optimizer == "muon":
            self.muon = self.muon_groups(list(matrices.values()), bf16)
        else:
            groups.append((list(matrices.values()), self.lr * width_factor(plan, d_model), plan.weight_decay))
        self.adamw = [AdamWGroup(params, lr, decay, plan) for params, lr, decay in groups if params]
        self.steps = torch.zeros((), device=self.params[0].device)

    def leaves(self, model: nn.Module) -> dict[str, Tensor]:
        """{name: tensor that is updated}."""
        return dict(model.named_parameters())

    def muon_groups(self, matrices: list[Tensor], bf16: bool) -> list[Any]:
        """What Muon updates together."""
        return [MuonGroup(group, bf16) for group in by_shape(matrices)]

    def whole_norm(self, norm: Tensor) -> Tensor:
        """The norm of all gradients, from that of this process's."""
        return norm

    def clip(self, max_norm: float) -> Tensor:
        """Scale all gradients so that their global norm is at most ``max_norm`` (<= 0: never); the norm before."""
        grads = [p.grad for p in self.params if p.grad is not None]
        norm = self.whole_norm(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
        if max_norm > 0:
            share = (max_norm / (norm + 1e-6)).clamp(max=1.0)
            if share.device.type != "cpu" or float(share) < 1.0:  # asking a GPU would make the host wait for it
                torch._foreach_mul_(grads, share)
        return norm

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update every parameter from its gradient, at ``factor`` times its rate."""
        self.steps += 1
        for muon in self.muon:
            muon.step(self.muon_lr * factor, self.weight_decay)
        for group in self.adamw:
            group.step(factor, self.steps)

    def zero_grad(self) -> None:
        """Drop the gradients, so that the next backward pass writes new ones instead of adding."""
        for param in self.params:
            param.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The whole state, the tensors themselves: ``steps``, and ``SLOT.PARAMETER`` in the parameter's shape."""
        state = {"steps": self.steps}
        for group in (*self.muon, *self.adamw):
            for slot, tensors in group.slots().items():
                state |= {f"{slot}.{self.names[id(p)]}": t for p, t in zip(group.params, tensors)}
        return state


def by_shape(params: list[Tensor]) -> list[list[Tensor]]:
    """Matrices grouped by shape up to transposition, in order of first appearance."""
    groups: dict[tuple[int, ...], list[Tensor]] = {}
    for param in params:
        groups.setdefault(tuple(sorted(param.shape)), []).append(param)
    return list(groups.values())
