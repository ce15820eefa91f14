"""Optimizers against torch.optim and against a slow reference in double precision."""

from __future__ import annotations

import copy

import pytest
import tiny
import torch
from torch import nn

from pocketlm.config import ConfigError
from pocketlm.model.decoder import Decoder
from pocketlm.training.optimizers import Optimizer, hidden_matrices, orthogonalise


def model_with_gradients(seed: int = 0) -> nn.Module:
    model = Decoder(tiny.arch(tied=False), tiny.VOCAB, 0)
    generator = torch.Generator().manual_seed(seed)
    for param in model.parameters():
        param.grad = torch.randn(param.shape, generator=generator)
    return model


def test_adamw_equals_torch() -> None:
    plan = tiny.plan(optimizer="adamw", lr=3e-3, weight_decay=0.1)
    ours = model_with_gradients()
    theirs = copy.deepcopy(ours)
    optimizer = Optimizer(ours, plan, 16)
    matrices = [p for n, p in theirs.named_parameters() if n.endswith("weight") and p.ndim == 2]
    rest = [p for n, p in theirs.named_parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=3e-3, betas=(plan.beta1, plan.beta2), eps=1e-8, foreach=False)
    for step in range(5):
        for a, b, new in zip(ours.parameters(), theirs.parameters(), model_with_gradients(step).parameters()):
            a.grad, b.grad = new.grad.clone(), new.grad.clone()
        optimizer.step(1.0)
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def slow_muon(weight: torch.Tensor, grads: list[torch.Tensor], lr: float, decay: float) -> torch.Tensor:
    """Jordan's formula as he writes it, one matrix at a time, in float64."""
    weight, momentum = weight.double(), torch.zeros_like(weight).double()
    for grad in (g.double() for g in grads):
        momentum = 0.95 * momentum + 0.05 * grad
        x = 0.05 * grad + 0.95 * momentum
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / x.norm()
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        x = x.T if tall else x
        scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
        weight = weight * (1 - lr * decay) - lr * scale * x
    return weight


def test_muon_equals_slow_reference() -> None:
    plan = tiny.plan(optimizer="muon", muon_lr=0.02, weight_decay=0.1)
    model = model_with_gradients()
    optimizer = Optimizer(model, plan, 16)
    before = {name: p.detach().clone() for name, p in hidden_matrices(model).items()}
    grads: dict[str, list[torch.Tensor]] = {name: [] for name in before}
    for step in range(3):
        for param, new in zip(model.parameters(), model_with_gradients(step).parameters()):
            param.grad = new.grad
        for name, param in hidden_matrices(model).items():
            grads[name].append(param.grad.clone())
        optimizer.step(0.5)
    assert len(before) == 2 * 7
    for name, param in hidden_matrices(model).items():
        expected = slow_muon(before[name], grads[name], 0.01, 0.1)
        torch.testing.assert_close(param.detach().double(), expected, rtol=1e-4, atol=1e-5)


def test_muon_agrees_with_torch_muon() -> None:
    model = model_with_gradients()
    theirs = model_with_gradients()
    Optimizer(model, tiny.plan(optimizer="muon", weight_decay=0.1), 16).step(1.0)
    reference = list(hidden_matrices(theirs).values())
    torch.optim.Muon(reference, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="original").step()
    for a, b in zip(hidden_matrices(model).values(), reference):  # theirs multiplies in bf16
        torch.testing.assert_close(a, b, rtol=0, atol=0.02 * 0.02)


def test_orthogonalise_gives_singular_values_near_one() -> None:
    matrices = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


@pytest.mark.parametrize("shape", [(3, 24, 24), (3, 24, 96)])  # iterated on X itself, and on its Gram matrix
def test_orthogonalise_of_nearly_singular_matrices(shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    x = x.mT @ torch.diag(torch.logspace(0, -6, shape[1]).double())
    expected = []
    for matrix in x.mT / x.flatten(1).norm(dim=1).view(-1, 1, 1):
        for _ in range(5):
            gram = matrix @ matrix.T
            matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
        expected.append(matrix)
    torch.testing.assert_close(orthogonalise(x.mT.float()).double(), torch.stack(expected), rtol=0, atol=1e-3)


def test_embeddings_head_and_norms_go_to_adamw() -> None:
    model = Decoder(tiny.arch(tied=False), tiny.VOCAB, 0)
    optimizer = Optimizer(model, tiny.plan(optimizer="muon"), 16)
    by_muon = {id(p) for group in optimizer.muon for p in group.params}
    for name, param in model.named_parameters():
        assert (id(param) in by_muon) == ("proj" in name), name
    assert sum(len(g.params) for g in optimizer.adamw) + len(by_muon) == len(list(model.parameters()))
    assert {g.weight_decay for g in optimizer.adamw} == {0.1, 0.0}


def test_width_rule_scales_matrices_under_adamw_only() -> None:
    model = Decoder(tiny.arch(), tiny.VOCAB, 0)
    plan = tiny.plan(optimizer="adamw", lr=1e-3, lr_width_reference=32, batch_reference=1, batch_power=0.5)
    rates = sorted({g.lr for g in Optimizer(model, plan, 16).adamw})
    assert rates == pytest.approx([2e-3, 4e-3])


def test_clip_gives_norm_and_scales() -> None:
    model = model_with_gradients()
    theirs = copy.deepcopy(model)
    for a, b in zip(model.parameters(), theirs.parameters()):
        b.grad = a.grad.clone()
    norm = Optimizer(model, tiny.plan(), 16).clip(1.0)
    expected = nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    torch.testing.assert_close(norm, expected)
    for a, b in zip(model.parameters(), theirs.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


def test_unknown_optimizer_is_named() -> None:
    with pytest.raises(ConfigError, match="optimizer=sgd: unknown; use muon or adamw"):
        Optimizer(Decoder(tiny.arch(), tiny.VOCAB, 0), tiny.plan(optimizer="sgd"), 16)
