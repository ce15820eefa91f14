"""Importance of blocks and units against slow formulas, and learned gates."""

from __future__ import annotations

import pytest
import torch
from model_shapes import make
from sources import BIG, batches, kill

from pocketlm.inheritance import depth, masks, units


def test_a_skipped_block_is_one_that_adds_nothing() -> None:
    source = make(**BIG).eval()
    rises = depth.skipped(source, batches())
    whole = depth.mean_loss(source, batches())
    for number, block in enumerate(source.model.layers):
        kept = [block.self_attn.o_proj.weight.clone(), block.mlp.down_proj.weight.clone()]
        with torch.no_grad():
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
            assert rises[number] == pytest.approx(depth.mean_loss(source, batches()) - whole, abs=1e-6)
            block.self_attn.o_proj.weight.copy_(kept[0])
            block.mlp.down_proj.weight.copy_(kept[1])
    assert len(source.model.layers) == 4 and depth.mean_loss(source, batches()) == whole


def test_mean_loss_is_torchs() -> None:
    source = make(**BIG).eval()
    logits = torch.cat([source.logits(source(inputs)).flatten(0, 1) for inputs, _, _ in batches()])
    want = torch.nn.functional.cross_entropy(logits, torch.cat([targets.flatten() for _, targets, _ in batches()]))
    assert depth.mean_loss(source, batches()) == pytest.approx(float(want), abs=1e-5)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("criterion", ["l1", "l2", "taylor"])
def test_scores_are_sums_over_what_a_unit_owns(criterion: str, gated: bool) -> None:
    """Weight by weight, in plain loops, for one unit of each kind."""
    source = make(**BIG, gated=gated)
    found = units.by_gradient(source, batches()) if criterion == "taylor" else units.by_weights(source, criterion)
    term = {name: torch.zeros_like(p) for name, p in source.named_parameters()}
    for inputs, targets, _ in batches() if criterion == "taylor" else [(None, None, None)]:
        if inputs is not None:
            loss = torch.nn.functional.cross_entropy(source.logits(source(inputs)).flatten(0, 1), targets.flatten())
            grads = torch.autograd.grad(loss, list(source.parameters()))
        for number, (name, p) in enumerate(source.named_parameters()):
            term[name] += (p * grads[number]).abs() if inputs is not None else p.abs() ** (1 + (criterion == "l2"))
    block, head, pair, neuron, channel = 2, 3, 1, 7, 5
    t = {name.removeprefix(f"model.layers.{block}."): value.detach().double() for name, value in term.items()}
    rows, columns = slice(head * 12, head * 12 + 12), slice(pair * 12, pair * 12 + 12)
    want = t["self_attn.q_proj.weight"][rows].sum() + t["self_attn.o_proj.weight"][:, rows].sum()
    assert float(found.queries[block, head]) == pytest.approx(float(want), rel=1e-4)
    want = t["self_attn.k_proj.weight"][columns].sum() + t["self_attn.v_proj.weight"][columns].sum()
    assert float(found.pairs[block, pair]) == pytest.approx(float(want), rel=1e-4)
    want = t["mlp.up_proj.weight"][neuron].sum() + t["mlp.down_proj.weight"][:, neuron].sum()
    want = want + (t["mlp.gate_proj.weight"][neuron].sum() if gated else 0)
    assert float(found.neurons[block, neuron]) == pytest.approx(float(want), rel=1e-4)
    stream = [value for name, value in term.items() if "norm" not in name]
    writes = [name.endswith(("o_proj.weight", "down_proj.weight")) for name in term if "norm" not in name]
    want = sum(float((v[channel] if w else v[:, channel]).sum()) for v, w in zip(stream, writes))
    assert float(found.channels[channel]) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("gated", [True, False])
def test_a_blocks_taylor_score_is_the_sum_of_weight_times_gradient(gated: bool) -> None:
    """|w x dloss/dw| of a block's matrices, batch by batch, by torch's own gradient of torch's own loss."""
    source = make(**BIG, gated=gated)
    want = [0.0] * 4
    for inputs, targets, _ in batches():
        loss = torch.nn.functional.cross_entropy(source.logits(source(inputs)).flatten(0, 1), targets.flatten())
        for number, block in enumerate(source.model.layers):
            weights = [weight for weight in block.parameters() if weight.dim() == 2]
            assert len(weights) == 6 + gated
            grads = torch.autograd.grad(loss, weights, retain_graph=True)
            want[number] += sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, grads))
    assert depth.by_gradient(source, batches()) == pytest.approx(want, rel=1e-4)
    assert len({round(value, 3) for value in want}) == 4  # blocks that score apart


def test_learned_gates_close_what_computes_nothing() -> None:
    source = make(**{**BIG, "n_kv_heads": 4}).eval()
    for block in range(4):
        kill(source, block, heads=[2], neurons=list(range(20)))
    before = {name: value.clone() for name, value in source.state_dict().items()}
    scores = masks.learn(source, batches(), steps=30, rate=0.1, penalty=0.5)
    assert scores.queries.argmin(1).tolist() == [2, 2, 2, 2]
    worst = [set(row.argsort()[:20].tolist()) for row in scores.neurons]
    assert sum(len(found & set(range(20))) for found in worst) >= 72  # of 80
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    again = masks.learn(source, batches(), steps=30, rate=0.1, penalty=0.5)
    assert torch.equal(again.neurons, scores.neurons)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in source.modules())


def test_learned_gates_close_a_dead_channel_and_a_dead_pair() -> None:
    """A channel that nothing writes to; a key/value head without values, while its queries and outputs have weights."""
    source = make(**BIG).eval()
    size, pair, channel = source.arch.head_dim, 1, 11
    with torch.no_grad():
        source.model.embed_tokens.weight[:, channel] = 0  # the head's column too: they are tied
        for block in source.model.layers:
            block.self_attn.o_proj.weight[channel] = 0
            block.mlp.down_proj.weight[channel] = 0
            block.self_attn.v_proj.weight[pair * size : (pair + 1) * size] = 0
    scores = masks.learn(source, batches(), steps=30, rate=0.1, penalty=0.5)
    assert scores.channels.argmin() == channel
    assert scores.pairs.argmin(1).tolist() == [pair] * 4
    living, dead = scores.queries.view(4, 2, 2).unbind(1)  # a pair's queries have nothing to read
    assert (dead.max(1).values < living.min(1).values).all()
