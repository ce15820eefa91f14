"""Choices by hand, and weights that are cut without changing what they compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_shapes import VOCAB, make
from sources import BIG, batches, kill, small
from torch import Tensor

from pocketlm.config import ConfigError, Inherit
from pocketlm.inheritance import depth, units
from pocketlm.inheritance.fit import misfits
from pocketlm.inheritance.inherit import inherit
from pocketlm.inheritance.transfer import choose, cut
from pocketlm.model.decoder import Decoder


def test_blocks_at_the_ends_stay() -> None:
    importance = [0.0, 5.0, 1.0, 4.0, 4.0, -1.0]
    assert depth.keep_blocks(importance, 4, ends=1) == [0, 1, 3, 5]
    assert depth.keep_blocks(importance, 3, ends=0) == [1, 3, 4]
    assert depth.keep_blocks(importance, 3, ends=2) == [0, 1, 5]
    assert depth.keep_blocks(importance, 6, ends=1) == [0, 1, 2, 3, 4, 5]
    assert depth.keep_blocks([1.0, 2.0, 3.0], 2, ends=2) == [0, 2]


def test_heads_stay_in_groups() -> None:
    """Two queries of three for each pair: of pair 0 heads 0 and 2, of pair 1 heads 4 and 5; then the better pair."""
    queries = torch.tensor([3.0, 1.0, 2.0, 0.0, 4.0, 9.0])
    kept, pairs = units.keep_heads(queries, torch.tensor([0.0, 0.0]), 4, 2)
    assert kept.tolist() == [0, 2, 4, 5] and pairs.tolist() == [0, 1]
    kept, pairs = units.keep_heads(queries, torch.tensor([20.0, 0.0]), 2, 1)
    assert kept.tolist() == [0, 2] and pairs.tolist() == [0]


@pytest.mark.parametrize("criterion", ["l2", "taylor"])
@pytest.mark.parametrize("tied", [True, False])
def test_without_dead_parts_a_model_computes_the_same(criterion: str, tied: bool) -> None:
    """Dead blocks, heads and neurons are found and cut; the logits stay."""
    source = make(**{**BIG, "n_kv_heads": 4}, tied=tied).eval()
    for block in range(4):
        kill(source, block, heads=[1], neurons=list(range(0, 80, 4)))
    kill(source, 2, heads=[0, 1, 2, 3], neurons=list(range(80)))  # adds nothing
    with torch.no_grad():  # a dead unit's other weights count under L2: make them dead as well
        for block in source.model.layers:
            block.self_attn.q_proj.weight[12:24] = 0
            block.self_attn.k_proj.weight[12:24] = 0
            block.self_attn.v_proj.weight[12:24] = 0
            block.mlp.up_proj.weight[::4] = 0
            block.mlp.gate_proj.weight[::4] = 0
    target = small(source, n_layers=3, n_heads=3, n_kv_heads=3, d_ff=60)
    state, account = inherit(source, target, batches(), Inherit(model="big", units=criterion, keep_ends=1), "here")
    assert account["kept"]["blocks"] == [0, 1, 3]
    assert account["kept"]["queries"] == [[0, 2, 3]] * 3
    assert account["loss_at_start"] == pytest.approx(account["loss_of_source"], abs=1e-5)
    made = Decoder(target, VOCAB, seed=None)
    made.load_state_dict(state)
    ids = batches()[0][0]
    torch.testing.assert_close(made.eval().logits(made(ids)), source.logits(source(ids)), atol=1e-5, rtol=1e-5)


def test_channels_are_cut_everywhere() -> None:
    """Dead channels: the same logits, once the norms' weights make up for the mean over fewer channels."""
    source = make(**BIG, d_model=48, norm_eps=1e-12).eval()
    dead = torch.arange(0, 48, 4)
    with torch.no_grad():
        source.model.embed_tokens.weight[:, dead] = 0
        for block in source.model.layers:
            block.self_attn.o_proj.weight[dead] = 0
            block.mlp.down_proj.weight[dead] = 0
            for name in ("q", "k", "v"):
                getattr(block.self_attn, f"{name}_proj").weight[:, dead] = 0
            block.mlp.up_proj.weight[:, dead] = 0
            block.mlp.gate_proj.weight[:, dead] = 0
    target = small(source, d_model=36)
    kept = choose(units.by_weights(source, "l1"), [0, 1, 2, 3], target)
    assert not set(kept.channels.tolist()) & set(dead.tolist())
    made = Decoder(target, VOCAB, seed=None)
    made.load_state_dict(cut(source.state_dict(), kept, target))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" in name:
                parameter.mul_((48 / 36) ** 0.5)
    ids = batches()[0][0]
    torch.testing.assert_close(made.eval().logits(made(ids)), source.logits(source(ids)), atol=1e-4, rtol=1e-4)


def test_a_start_is_a_part_of_its_source() -> None:
    """Every tensor of the target stands in the source, bit for bit."""
    source = make(**BIG).eval()
    target = small(source, n_layers=2, d_model=24, n_heads=2, n_kv_heads=1, d_ff=40)
    how = Inherit(model="big", layers="taylor", units="mask", mask_steps=3)
    state, account = inherit(source, target, batches(), how, "here")
    channels, neurons = (torch.tensor(account["kept"][name]) for name in ("channels", "neurons"))
    want = source.state_dict()["model.layers.3.mlp.up_proj.weight"][neurons[1]][:, channels]
    assert account["kept"]["blocks"] == [0, 3]
    assert torch.equal(state["model.layers.1.mlp.up_proj.weight"], want)
    assert shapes(state) == shapes(Decoder(target, VOCAB, seed=None).state_dict())


def test_an_untied_head_is_not_dropped() -> None:
    """The other way round a tied source's embedding is the head: nothing is lost."""
    untied, tied = (make(**BIG, tied=tied).arch for tied in (False, True))
    (problem,) = misfits(untied, tied)
    assert problem.startswith("tied=True would drop the source's head")
    assert list(misfits(tied, untied)) == []


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"d_model": 64}, "d_model=64 is above the source's 48"),
        ({"head_dim": 8}, "head_dim=8 must be the source's 12"),
        ({"gated": False}, "gated=False must be the source's True"),
        ({"n_kv_heads": 1}, "4 query heads share a kv head, and 2 do in the source"),
        ({"activation": "relu"}, "activation='relu' must be the source's 'silu'"),
        ({"rope_theta": 5e5}, "rope_theta=500000.0 must be the source's 10000.0"),
        ({"rope_int8": True}, "rope_int8=True must be the source's False"),
        ({"norm_eps": 1e-6}, "norm_eps=1e-06 must be the source's 1e-05"),
    ],
)
def test_what_cannot_inherit_is_named(sizes: dict[str, Any], message: str) -> None:
    source = make(**BIG)
    assert message in list(misfits(source.arch, small(source, **sizes)))
    with pytest.raises(ConfigError, match="here: cannot inherit: "):
        inherit(source, small(source, **sizes), batches(), Inherit(model="big"), "here")


def test_gradients_are_dropped_one_by_one() -> None:
    """Never two of them in memory: after each, none is left; and all hooks are gone at the end."""
    source = make(**BIG)
    left: list[int] = []
    names = dict(source.named_parameters())

    def count(_: Tensor) -> None:
        left.append(sum(value.grad is not None for value in names.values()))

    found = units.gradient_terms(source, batches(2))
    next(found)  # its hooks are there; ours run after them in the second batch
    for value in names.values():
        value.register_post_accumulate_grad_hook(count)
    next(found)
    assert len(left) == len(names) and set(left) == {0}
    assert next(found, None) is None
    assert not any(list((value._post_accumulate_grad_hooks or {}).values())[:-1] for value in names.values())


def test_a_start_shares_the_memory_of_its_account() -> None:
    """Whatever is cut is a copy: the source stays as it was when the start is trained."""
    source = make(**BIG).eval()
    before = {name: value.clone() for name, value in source.state_dict().items()}
    state, _ = inherit(source, small(source, n_layers=2), batches(), Inherit(model="big", units="l1"), "here")
    for value in state.values():
        value.fill_(7.0)
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_depth_pruning_alone_leaves_whole_blocks() -> None:
    """Shortened-LLaMA: with equal widths the target is the source without its least important blocks."""
    source = make(**BIG).eval()
    for criterion, importance in (
        ("skip", depth.skipped(source, batches())),
        ("taylor", depth.by_gradient(source, batches())),
    ):
        how = Inherit(model="big", layers=criterion, keep_ends=1)
        state, account = inherit(source, small(source, n_layers=3), batches(), how, "here")
        dropped = min((1, 2), key=lambda number: importance[number])
        assert account["kept"]["blocks"] == [number for number in range(4) if number != dropped]
        source.model.layers = torch.nn.ModuleList(b for n, b in enumerate(source.model.layers) if n != dropped)
        assert all(torch.equal(value, state[name]) for name, value in source.state_dict().items())
        source = make(**BIG).eval()


def test_an_equal_shape_keeps_every_weight() -> None:
    """A decay stage starts where the stable stage ended (PhoneLM): nothing is moved, whatever the criterion."""
    source = make(**BIG).eval()
    state, account = inherit(source, source.arch, batches(1), Inherit(model="stable", units="l2", batches=1), "here")
    assert all(torch.equal(state[name], value) for name, value in source.state_dict().items() if name in state)
    assert state.keys() == source.state_dict().keys() and account["loss_at_start"] == account["loss_of_source"]
