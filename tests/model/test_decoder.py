"""The decoder against a slow independent formulation, with and without cache, and its gradients."""

from __future__ import annotations

from typing import Any

import model_reference as reference
import pytest
import torch
from model_shapes import OPTIONS, SHAPE, VOCAB, make

from pocketlm.config import Architecture
from pocketlm.model import kernels
from pocketlm.model.cache import Cache
from pocketlm.model.decoder import Decoder
from pocketlm.model.generate import generate, stream


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("training", [False, True])
def test_equals_slow_formulation(name: str, training: bool, ids: torch.Tensor) -> None:
    decoder = make(**OPTIONS[name]).train(training)
    state = {k: v.detach() for k, v in decoder.state_dict().items()}
    expected = torch.stack([reference.logits(state, decoder.arch, row.tolist()) for row in ids[:2]])
    torch.testing.assert_close(decoder.logits(decoder(ids[:2])).detach(), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["llama", "mqa_free_head_dim", "all"])
def test_documents_do_not_see_each_other(name: str, ids: torch.Tensor) -> None:
    decoder = make(**OPTIONS[name]).eval()
    documents = torch.tensor([[0] * 5 + [1] * 9 + [2] * 3, [4] * 17, [7] * 16 + [8]])
    state = {k: v.detach() for k, v in decoder.state_dict().items()}
    rows = zip(ids.tolist(), documents.tolist(), strict=True)
    expected = torch.stack([reference.logits(state, decoder.arch, row, docs) for row, docs in rows])
    found = decoder.logits(decoder(ids, documents=documents)).detach()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    alone = decoder.logits(decoder(ids[:1, 5:14])).detach()
    torch.testing.assert_close(found[:1, 5:14], alone, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_incremental_decoding_equals_full_forward(name: str, ids: torch.Tensor) -> None:
    decoder = make(**OPTIONS[name]).eval()
    full = decoder(ids)
    cache = Cache(decoder.arch, len(ids), 17)
    parts = [decoder(ids[:, a:b], cache=cache) for a, b in ((0, 6), (6, 10), (10, 11), (11, 12), (12, 17))]
    torch.testing.assert_close(torch.cat(parts, 1), full, atol=2e-5, rtol=1e-5)
    assert cache.length == 17
    with pytest.raises(ValueError, match="larger max_len"):
        decoder(ids[:, :1], cache=cache)


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_equal_those_of_the_slow_formulation(name: str, ids: torch.Tensor) -> None:
    """Two documents in one row, and a target that carries no loss; tied tensors get the sum of both uses."""
    documents, targets = [0] * 7 + [1] * 10, ids[:1].roll(-1, 1).clone()
    targets[0, 2:4] = -100
    decoder = make(**OPTIONS[name]).train()
    decoder.loss(ids[:1], targets, documents=torch.tensor([documents])).backward()
    state = {name: value.detach().clone().requires_grad_() for name, value in decoder.state_dict().items()}
    rows = reference.logits(state, decoder.arch, ids[0].tolist(), documents)
    kept = [place for place, target in enumerate(targets[0].tolist()) if target >= 0]
    chosen = torch.stack([torch.log_softmax(rows[place], 0)[targets[0, place]] for place in kept])
    (-chosen.mean()).backward()
    for name, parameter in decoder.named_parameters():
        torch.testing.assert_close(
            parameter.grad, state[name].grad, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_equal_autograd_of_plain_operations(
    name: str, ids: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = ids.roll(-1, 1).clone()
    targets[0, 3:7] = -100
    decoder = make(**OPTIONS[name]).train()
    loss = decoder.loss(ids, targets)
    loss.backward()
    ours = {n: p.grad.clone() for n, p in decoder.named_parameters()}
    decoder.zero_grad()
    monkeypatch.setattr(kernels, "eager_cpu", lambda x: False)
    logits = decoder.logits(decoder(ids))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for n, p in decoder.named_parameters():
        torch.testing.assert_close(ours[n], p.grad, atol=1e-5, rtol=1e-4, msg=lambda m, n=n: f"{n}: {m}")


def test_kernels_pass_gradcheck() -> None:
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    for activation in kernels.PLAIN:
        assert torch.autograd.gradcheck(lambda t, a=activation: kernels.Gated.apply(t, a), (x,))
    angles = torch.randn(5, 1, 1, dtype=torch.float64)
    for out in range(3):
        f = lambda t, o=out: kernels.SplitRotate.apply(t, angles.cos(), angles.sin(), 2, 1)[o]  # noqa: E731
        assert torch.autograd.gradcheck(f, (x,))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_causal_attention_equals_torch(kv_heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.CausalAttention, "BLOCK", 4)  # 11 queries: two blocks and a part of one
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 4, 11, 6), (2, kv_heads, 11, 6), (2, kv_heads, 11, 6))
    q, k, v = (torch.randn(*size, dtype=torch.float64, generator=generator, requires_grad=True) for size in sizes)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(kernels.CausalAttention.apply(q, k, v), expected)
    assert torch.autograd.gradcheck(kernels.CausalAttention.apply, (q, k, v))


def test_loss_blocks_do_not_change_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketlm.model import loss

    logits = torch.randn(10, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([0, 6, -100, 3, 2, -100, 1, 1, 5, 4])
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    expected.backward()
    monkeypatch.setattr(loss, "BLOCK_ELEMENTS", 21)  # three rows
    for dtype, bound in ((torch.float32, 1e-6), (torch.bfloat16, 2**-8)):
        grad, total = loss.loss_gradient(logits.detach().to(dtype).clone(), targets)
        torch.testing.assert_close(total, expected.detach(), rtol=bound, atol=0)
        torch.testing.assert_close(grad.float(), logits.grad, rtol=0, atol=bound)


def test_loss_is_chunked_and_masked(ids: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketlm.model import loss

    decoder = make(tied=False)
    targets = ids.roll(-1, 1).clone()
    targets[:, -1] = -100
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 16 * VOCAB)  # chunks of 16 rows out of 51
    mean, total = decoder.loss(ids, targets), decoder.loss(ids, targets, reduction="sum")
    rows = decoder.token_losses(ids, targets)
    logits = decoder.logits(decoder(ids))
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(ids)
    torch.testing.assert_close(rows, each.detach())
    torch.testing.assert_close(total, each.sum())
    torch.testing.assert_close(mean, each.sum() / 48)
    nothing = decoder.loss(ids, torch.full_like(ids, -100))
    assert nothing.item() == 0


def test_training_under_autocast_stays_near_fp32(ids: torch.Tensor) -> None:
    decoder = make()
    exact = decoder.loss(ids, ids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = decoder.loss(ids, ids)
    low.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in decoder.parameters())
    assert abs(low.item() - exact.item()) < 0.05 * exact.item()


def test_initial_weights_depend_on_name_and_seed_only() -> None:
    one, two = (Decoder(Architecture(**(SHAPE | {"n_layers": n})), VOCAB, seed=5) for n in (2, 3))
    shared = one.state_dict()
    assert all(torch.equal(shared[n], two.state_dict()[n]) for n in shared)
    other = Decoder(one.arch, VOCAB, seed=6).state_dict()
    assert not torch.equal(shared["model.layers.0.mlp.up_proj.weight"], other["model.layers.0.mlp.up_proj.weight"])
    stds = [p.std().item() for n, p in Decoder(Architecture(), 512).named_parameters() if p.dim() == 2]
    assert all(abs(s - 0.02) < 0.001 for s in stds)  # the same constant everywhere


def test_generation_does_not_depend_on_batching() -> None:
    decoder = make(sharing=2, n_layers=2).eval()
    prompts = [[1, 2, 3], [4, 5], [9, 8, 7], [6, 6, 6, 6]]
    together = generate(decoder, prompts, 8)
    alone = [generate(decoder, [p], 8)[0] for p in prompts]
    slow: list[list[int]] = []
    for p in prompts:
        row = list(p)
        for _ in range(8):
            row.append(int(decoder.logits(decoder(torch.tensor([row])))[0, -1].argmax()))
        slow.append(row[len(p) :])
    assert together == alone == slow
    stop = slow[0][3]
    assert generate(decoder, prompts[:1], 8, stop_ids=[stop])[0] == slow[0][: slow[0].index(stop)]
    assert list(stream(decoder, prompts[0], 8)) == slow[0]
    drawn: Any = [list(stream(decoder, prompts[0], 8, temperature=1.0, seed=s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
