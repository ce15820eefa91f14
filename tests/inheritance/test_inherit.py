"""Importance against slow formulas, choices by hand, and weights that are cut without changing what they compute."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pocketlm.config import Architecture, ConfigError, Inherit
from pocketlm.inheritance import depth, masks, units
from pocketlm.inheritance.fit import misfits
from pocketlm.inheritance.inherit import inherit
from pocketlm.inheritance.transfer import choose, cut
from pocketlm.model.decoder import Decoder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from model_shapes import VOCAB, make

BIG: dict[str, Any] = {"n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "head_dim": 12, "d_ff": 80}


def batches(count: int = 3) -> list[units.Batch]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(VOCAB, (count, 4, 17), generator=generator)
    return [(row[:, :-1], row[:, 1:], None) for row in rows]


def small(source: Decoder, **sizes: Any) -> Architecture:
    return replace(source.arch, **sizes)


@torch.no_grad()
def kill(source: Decoder, block: int, heads: list[int] = [], neurons: list[int] = []) -> None:  # noqa: B006
    """Units that compute nothing: what reads their output is zero."""
    layer, size = source.model.layers[block], source.arch.head_dim
    for head in heads:
        layer.self_attn.o_proj.weight[:, head * size : (head + 1) * size] = 0
    layer.mlp.down_proj.weight[:, neurons] = 0


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


def test_rows_of_kept_pieces_are_carried_over(tmp_path: Path) -> None:
    """With a tokenizer that is cut from the source's, a kept piece keeps its rows of embedding and head."""
    from pocketlm.artifacts import ArtifactError, write_json
    from pocketlm.inheritance.vocabulary import cut_vocabulary, kept_rows

    source = make(**BIG, tied=False).eval()
    rows = [0, 3, 4, VOCAB - 1]
    report = {"kind": "compressed", "vocab_size": len(rows), "base_vocab_size": VOCAB, "kept_ids": rows}
    write_json(tmp_path / "pocketlm_tokenizer.json", report)
    embedding, head = (value.detach().clone() for value in (source.model.embed_tokens.weight, source.lm_head.weight))
    assert kept_rows(tmp_path, tmp_path / "source", VOCAB) == rows
    logits = source.logits(source(torch.tensor([rows])))
    cut_vocabulary(source, rows)
    assert torch.equal(source.model.embed_tokens.weight, embedding[rows])
    assert torch.equal(source.lm_head.weight, head[rows]) and source.vocab_size == 4
    torch.testing.assert_close(source.logits(source(torch.tensor([[0, 1, 2, 3]]))), logits[..., rows])
    write_json(tmp_path / "pocketlm_tokenizer.json", {"kind": "bpe", "vocab_size": VOCAB})
    assert kept_rows(tmp_path, tmp_path / "source", VOCAB) is None
    with pytest.raises(ArtifactError, match="inherit within one tokenizer"):
        kept_rows(tmp_path, tmp_path / "source", VOCAB - 1)
    write_json(tmp_path / "pocketlm_tokenizer.json", report)
    with pytest.raises(ArtifactError, match="compressed whose base is the source's"):
        kept_rows(tmp_path, tmp_path / "source", VOCAB - 1)


def test_rows_of_padding_are_left_behind(tmp_path: Path) -> None:
    """A checkpoint's embedding may be longer than its vocabulary; with its tokenizer and with one cut from it.

    A source that has another tokenizer is refused, though it has rows enough.
    """
    from pocketlm.artifacts import ArtifactError
    from pocketlm.data import tokenizer
    from pocketlm.data.compress import compress
    from pocketlm.data.cut_folder import save_cut
    from pocketlm.inheritance.vocabulary import kept_rows

    texts = ["the cat sat on the mat and the dog sat on the log", "Ada gave 7 red balls to Bo, the other thing"] * 5
    own, other = (tokenizer.train(texts, size, True, "own") for size in (300, 290))
    small, report = compress(own, texts, 280, "small")
    own_folder, other_folder, small_folder = (tmp_path / name for name in ("own", "other", "small"))
    for folder, made in ((own_folder, own), (other_folder, other)):
        folder.mkdir()
        tokenizer.save(made, folder, {"kind": "bpe", "vocab_size": made.get_vocab_size()})
    small_folder.mkdir()
    save_cut(small, own_folder, small_folder, {"kind": "compressed"} | report)
    assert kept_rows(own_folder, own_folder, 324) == list(range(300))
    assert kept_rows(small_folder, own_folder, 324) == kept_rows(small_folder, own_folder, 300) == report["kept_ids"]
    for target, source, rows in ((other_folder, own_folder, 324), (small_folder, other_folder, 324)):
        with pytest.raises(ArtifactError, match="inherit within one tokenizer"):
            kept_rows(target, source, rows)
    with pytest.raises(ArtifactError, match="300 in 290 rows"):
        kept_rows(own_folder, own_folder, 290)


def test_rows_of_a_real_cut_are_carried_over(tmp_path: Path) -> None:
    """Piece by piece: its row in the cut model is its row in the source; among the kept pieces the logits stay."""
    from pocketlm.data import tokenizer
    from pocketlm.data.compress import compress
    from pocketlm.data.cut_folder import save_cut
    from pocketlm.inheritance.vocabulary import cut_vocabulary, kept_rows

    texts = ["the cat sat on the mat and the dog sat on the log", "Ada gave 7 red balls to Bo, the other thing"] * 5
    base = tokenizer.train(texts, 300, True, "base")
    small, report = compress(base, texts, 280, "small")
    (tmp_path / "base").mkdir()
    (tmp_path / "small").mkdir()
    tokenizer.save(base, tmp_path / "base", {})
    save_cut(small, tmp_path / "base", tmp_path / "small", {"kind": "compressed"} | report)
    source = Decoder(Architecture(**BIG, d_model=24, tied=False), 300, seed=1).eval()
    weights = [value.detach().clone() for value in (source.model.embed_tokens.weight, source.lm_head.weight)]
    ids = small.encode(texts[0]).ids
    assert [base.token_to_id(small.id_to_token(id)) for id in ids] != ids and base.encode(texts[0]).ids != ids
    before = source.logits(source(torch.tensor([[base.token_to_id(small.id_to_token(id)) for id in ids]])))
    rows = kept_rows(tmp_path / "small", tmp_path / "base", 300)
    assert rows is not None
    cut_vocabulary(source, rows)
    for piece, id in small.get_vocab().items():
        for old, new in zip(weights, (source.model.embed_tokens.weight, source.lm_head.weight), strict=True):
            assert torch.equal(new[id], old[base.token_to_id(piece)]), piece
    torch.testing.assert_close(source.logits(source(torch.tensor([ids]))), before[..., rows])
    assert kept_rows(tmp_path / "small", tmp_path / "small", 280) is None  # the source has the cut one itself


def test_an_equal_shape_keeps_every_weight() -> None:
    """A decay stage starts where the stable stage ended (PhoneLM): nothing is moved, whatever the criterion."""
    source = make(**BIG).eval()
    state, account = inherit(source, source.arch, batches(1), Inherit(model="stable", units="l2", batches=1), "here")
    assert all(torch.equal(state[name], value) for name, value in source.state_dict().items() if name in state)
    assert state.keys() == source.state_dict().keys() and account["loss_at_start"] == account["loss_of_source"]
