"""The loop on a tiny model: learning, accumulation, divergence, what is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from pocketlm import numerics
from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError, Numerics
from pocketlm.training import loop, metrics
from pocketlm.training.job import Diverged


def test_it_learns_and_reports() -> None:
    result = loop.train(tiny.job(plan=tiny.plan(steps=80, rounds=2)))
    assert result.metrics["steps"] == 120 and result.metrics["tokens"] == 120 * 4 * 16
    first, last = result.curve[0], result.curve[-1]
    assert first["loss"] > 3.5 and last["loss"] < 2.5
    assert last["val_bpb"] == result.metrics["val_bits_per_byte"]
    bits = result.metrics["val_loss"] / np.log(2) / 3  # the reader says 3 bytes a token
    assert bits == pytest.approx(result.metrics["val_bits_per_byte"], rel=1e-5)
    assert [row["round"] for row in result.curve][-1] == 1 and len(result.metrics["round_losses"]) == 2
    assert set(first) == set(metrics.COLUMNS)


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    a, b, c = (loop.train(tiny.job(plan=tiny.plan(steps=6), seed=seed)).state for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_compiled_steps_are_the_eager_ones() -> None:
    """Forward, backward and updates; sums are in another order, so not the same bytes. That it is compiled: asked."""
    from torch._dynamo.utils import counters

    counters.clear()
    plan = tiny.plan(steps=8, log_every=1, validate_every=4)
    eager, compiled = (loop.train(tiny.job(plan=plan, numerics=Numerics(compile=on))) for on in (False, True))
    assert counters["stats"]["unique_graphs"] > 0
    assert len(compiled.curve) == len(eager.curve) == 8
    for name in ("loss", "grad_norm"):
        expected = [row[name] for row in eager.curve]
        assert [row[name] for row in compiled.curve] == pytest.approx(expected, rel=1e-4)
    assert compiled.metrics["val_loss"] == pytest.approx(eager.metrics["val_loss"], rel=1e-4)


def gradients(**changes: Any) -> dict[str, torch.Tensor]:
    trainer = loop.Trainer(tiny.job(plan=tiny.plan(**changes)), numerics.apply(Numerics()))
    trainer._backward(loop.Batch.of(tiny.Rows().batch(0, 0)), 0)
    return {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}


def test_accumulation_equals_the_full_batch_with_unequal_masks() -> None:
    whole, parts = gradients(), gradients(micro_batch=1)
    assert len(whole) > 10
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-5, atol=1e-6)


def test_loss_is_the_mean_over_unmasked_targets() -> None:
    trainer = loop.Trainer(tiny.job(), numerics.apply(Numerics()))
    batch = loop.Batch.of(tiny.Rows().batch(0, 0))
    loss = trainer._backward(batch, 0)
    logits = trainer.model.logits(trainer.model(batch.inputs))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-6)


def test_nan_is_named_at_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    step = loop.Trainer.step

    def poisoned(self: loop.Trainer) -> None:
        if self.done == 7:  # the 8th step's weights
            next(self.model.parameters()).data[0] = float("nan")
            self.model.lm_head = None
            self.model.model.norm.weight.data.fill_(float("nan"))
        step(self)

    monkeypatch.setattr(loop.Trainer, "step", poisoned)
    with pytest.raises(Diverged, match=r"tiny: diverged at step 8 \(round 1, batch 7\): its loss is nan") as caught:
        loop.train(tiny.job())
    assert (caught.value.step, caught.value.batch) == (8, 7)


def test_a_rate_far_too_high_is_found() -> None:
    with pytest.raises(Diverged, match="lower lr / muon_lr"):
        loop.train(tiny.job(plan=tiny.plan(lr=50.0, muon_lr=50.0, steps=60, warmup=0)))


def test_a_batch_without_targets_is_named() -> None:
    class Empty(tiny.Rows):
        def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[Any, ...]:
            inputs, targets, *_ = super().batch(round, step, rows)
            return inputs, np.full_like(targets, -100) if step == 2 else targets, None, None

    with pytest.raises(ArtifactError, match="batch 2 has no token that carries a loss"):
        loop.train(tiny.job(reader=Empty()))


def test_plan_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="micro_batch=3 does not divide"):
        loop.train(tiny.job(plan=tiny.plan(micro_batch=3)))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({}, "batch_size=4 does not divide over numerics.world_size=3; make it a multiple"),
        ({"batch_size": 12, "micro_batch": 3}, r"micro_batch=3 does not divide the batch of a rank \(4\)"),
    ],
)
def test_batch_that_does_not_divide_over_the_ranks_is_refused(plan: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loop.train(tiny.job(plan=tiny.plan(**plan), numerics=Numerics(world_size=3)))


def test_packed_documents_do_not_see_each_other() -> None:
    trainer = loop.Trainer(tiny.job(), numerics.apply(Numerics()))
    inputs, targets, *_ = tiny.Rows(1, 16, mask=False).batch(0, 0)
    documents = np.repeat([[0, 1]], 8, axis=1)
    apart = [trainer._loss(loop.Batch.of((inputs[:, s], targets[:, s]))) for s in (slice(0, 8), slice(8, 16))]
    packed = trainer._loss(loop.Batch.of((inputs, targets, documents)))
    torch.testing.assert_close(packed, apart[0] + apart[1], rtol=1e-5, atol=1e-4)


def test_timing_log_and_curve(tmp_path: Path) -> None:
    result = loop.train(tiny.job(timing=tmp_path / "logs" / "t.jsonl", plan=tiny.plan(steps=10)))
    lines = (tmp_path / "logs" / "t.jsonl").read_text().splitlines()
    assert len(lines) == 2 and '"mfu": ' in lines[0] and "null" not in lines[0]
    metrics.write_curve(tmp_path / "curve.csv", result.curve)
    text = (tmp_path / "curve.csv").read_text().splitlines()
    assert text[0] == "step,round,loss,lr,grad_norm,val_bpb" and text[1].endswith(",") and len(text) == 3


def test_training_imports_nothing_slow() -> None:
    code = (
        "import sys, tiny; from pocketlm.training import loop; loop.train(tiny.job(plan=tiny.plan(steps=2)))\n"
        "slow = {'transformers', 'datasets', 'pandas', 'torch._dynamo', 'sympy', 'pyarrow'} & set(sys.modules)\n"
        "print(sorted(slow))"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
