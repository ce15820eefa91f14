"""How much a channel, a head and a neuron count: from weights (L1, L2) or from weights and gradients (Taylor).

A score of every weight is summed over what a unit owns: a channel its column or row of every matrix that reads or
writes the residual stream, a neuron its rows of gate and up and its column of down, a query head its rows of q and
columns of o; a key/value head its rows of k and v. Norms' weights are left out: they are not what a unit computes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from pocketlm.model.decoder import Decoder

Term = Callable[[str], "Sums"]  # of the scores of the matrix of this name; made when it is read
Batch = tuple[Tensor, Tensor, Tensor | None]  # inputs, targets, documents


@dataclass
class Sums:
    """Of a matrix of scores, fp64: by row [R] and by column [C]. All that a choice of units needs."""

    rows: Tensor
    columns: Tensor


def sums(scores: Tensor) -> Sums:
    """Sums of fp64 scores [R, C]."""
    return Sums(scores.sum(1), scores.sum(0))


@dataclass
class Scores:
    """Importance, fp64: channels [D]; by block queries [L, H], pairs (key/value heads) [L, KV], neurons [L, F]."""

    channels: Tensor
    queries: Tensor
    pairs: Tensor
    neurons: Tensor

    def __add__(self, other: Scores) -> Scores:
        return Scores(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def by_weights(model: Decoder, criterion: str) -> Scores:
    """Sums of |weight| (l1) or of its square (l2)."""
    power = {"l1": torch.abs, "l2": torch.square}[criterion]
    weights = dict(model.named_parameters())
    return score(model.arch, lambda name: sums(power(weights[name].detach().double())))


def gradient_terms(model: Decoder, batches: Sequence[Batch]) -> Iterator[Term]:
    """For every batch |weight x gradient|: the first-order change of its loss without a weight.

    A gradient is summed up and dropped as soon as it is there, so that never more than one lies in memory.
    """
    weights = dict(model.named_parameters())
    found: dict[str, Sums] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(weight: Tensor) -> None:
            if weight.dim() == 2 and weight.grad is not None:
                found[name] = sums((weight.detach() * weight.grad).double().abs())
            weight.grad = None

        return hook

    handles = [weight.register_post_accumulate_grad_hook(keep(name)) for name, weight in weights.items()]
    try:
        for inputs, targets, documents in batches:
            found.clear()
            model.loss(inputs, targets, documents).backward()
            yield lambda name: found[name] if name in found else sums(torch.zeros_like(weights[name]).double())
    finally:
        for handle in handles:
            handle.remove()


def by_gradient(model: Decoder, batches: Sequence[Batch]) -> Scores:
    """Sums of |weight x gradient| over the batches."""
    found = [score(model.arch, term) for term in gradient_terms(model, batches)]
    return reduce(operator.add, found)


def score(arch: Any, term: Term) -> Scores:
    """Sum the terms over what each unit owns; one block's terms exist at a time."""
    channels = term("model.embed_tokens.weight").columns
    if not arch.tied:
        channels = channels + term("lm_head.weight").columns
    heads = (arch.n_heads, arch.head_dim)
    queries, pairs, neurons = [], [], []
    for number in range(arch.n_layers):
        block = {name: term(f"model.layers.{number}.{name}.weight") for name in matrices(arch.gated)}
        q, k, v, o = (block[f"self_attn.{name}_proj"] for name in "qkvo")
        down = block["mlp.down_proj"]
        inner = [block[name] for name in ("mlp.up_proj", "mlp.gate_proj") if name in block]
        channels = channels + o.rows + down.rows + sum(one.columns for one in (q, k, v, *inner))
        queries.append(q.rows.view(heads).sum(1) + o.columns.view(heads).sum(1))
        pairs.append((k.rows + v.rows).view(arch.n_kv_heads, arch.head_dim).sum(1))
        neurons.append(down.columns + sum(one.rows for one in inner))
    return Scores(channels, torch.stack(queries), torch.stack(pairs), torch.stack(neurons))


def matrices(gated: bool) -> list[str]:
    """Names of a block's matrices."""
    gate = ["mlp.gate_proj"] if gated else []
    return [*(f"self_attn.{n}_proj" for n in "qkvo"), "mlp.up_proj", "mlp.down_proj", *gate]


def best(scores: Tensor, count: int) -> Tensor:
    """Positions of the ``count`` largest of [N], ascending; of equal ones the earlier."""
    return torch.argsort(scores, descending=True, stable=True)[:count].sort().values


def keep_heads(queries: Tensor, pairs: Tensor, n_heads: int, n_kv_heads: int) -> tuple[Tensor, Tensor]:
    """(query heads, key/value heads) to keep of one block, ascending.

    A key/value head stays with its best queries, as many as the target's groups have; the groups with the largest
    sums stay.
    """
    group, wanted = len(queries) // len(pairs), n_heads // n_kv_heads
    grouped = queries.view(len(pairs), group)
    chosen = torch.stack([best(row, wanted) for row in grouped])
    kept = best(pairs + grouped.gather(1, chosen).sum(1), n_kv_heads)
    return (chosen[kept] + kept[:, None] * group).flatten(), kept
