"""Rates against hand-computed values, and the draw of rounds against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pocketlm.config import ConfigError, Plan
from pocketlm.training.rounds import RoundOrder, draw, round_lengths
from pocketlm.training.schedules import batch_factor, factor, width_factor


def rates(total: int, **changes: object) -> list[float]:
    plan = Plan(**{"warmup": 4, "floor": 0.1, "decay": 0.25, **changes})  # type: ignore[arg-type]
    return [factor(step, total, plan) for step in range(total)]


def test_warmup_is_linear_and_never_zero() -> None:
    for schedule in ("cosine", "wsd", "linear", "constant"):
        assert rates(20, schedule=schedule)[:4] == [0.25, 0.5, 0.75, 1.0]


def test_cosine_by_hand() -> None:
    found = rates(13, schedule="cosine")  # 9 steps from 1 to the floor: step 8 is the middle
    assert found[4] == 1.0
    assert found[8] == pytest.approx(0.1 + 0.9 * 0.5, abs=1e-12)
    assert found[6] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.sqrt(0.5)), abs=1e-12)
    assert found[12] == pytest.approx(0.1, abs=1e-12)


def test_wsd_by_hand() -> None:
    found = rates(20, schedule="wsd")  # the last 5 of 20 fall from 1 to 0.1
    assert found[4:15] == [1.0] * 11
    assert found[15:] == pytest.approx([0.82, 0.64, 0.46, 0.28, 0.1], abs=1e-12)


def test_exponential_wsd_is_minicpms() -> None:
    """f(s - S) = 0.5^((s - S) / T) of MiniCPM (2404.06395), with the half-life T that ends on the floor."""
    found = rates(20, schedule="wsd", decay_shape="exponential")
    half_life = 5 / math.log2(10)  # 5 steps down to a tenth
    assert found[4:15] == [1.0] * 11
    assert found[15:] == pytest.approx([0.5 ** ((step - 14) / half_life) for step in range(15, 20)], abs=1e-12)


def test_linear_and_constant_by_hand() -> None:
    assert rates(14, schedule="linear")[4:] == pytest.approx([1.0 - 0.1 * i for i in range(10)], abs=1e-12)
    assert rates(14, schedule="constant")[4:] == [1.0] * 10


def test_no_warmup_and_one_step() -> None:
    assert rates(1, warmup=20) == [1.0]
    assert rates(3, warmup=0, schedule="constant") == [1.0] * 3


def test_unknown_schedule_is_named() -> None:
    with pytest.raises(ConfigError, match="schedule=step: unknown; use one of cosine"):
        rates(20, schedule="step")


def test_batch_and_width_rules() -> None:
    plan = Plan(batch_size=128, batch_reference=32, batch_power=0.5, lr_width_reference=256)
    assert batch_factor(plan) == 2.0
    assert batch_factor(Plan(batch_size=128, batch_reference=32, batch_power=1.0)) == 4.0
    assert width_factor(plan, 64) == 4.0
    assert batch_factor(Plan()) == width_factor(Plan(), 999) == 1.0


def test_draw_follows_exp_loss_without_replacement() -> None:
    """First-order inclusion of k = 1 is softmax(l); for k = 2 of 3 it is computed by hand over ordered draws."""
    losses = np.log(np.array([1.0, 2.0, 5.0]))
    p = np.array([1.0, 2.0, 5.0]) / 8
    trials = 4000
    once = np.bincount(np.concatenate([draw(losses, 1, seed, 1) for seed in range(trials)]), minlength=3) / trials
    assert np.abs(once - p).max() < 4 * math.sqrt(0.25 / trials)
    pairs = [draw(losses, 2, seed, 1) for seed in range(trials)]
    assert all(len(set(pair.tolist())) == 2 for pair in pairs)
    twice = np.bincount(np.concatenate(pairs), minlength=3) / trials
    expected = [p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(3) if j != i) for i in range(3)]
    assert np.abs(twice - expected).max() < 4 * math.sqrt(0.25 / trials)


def test_rounds_use_last_losses_and_are_pure() -> None:
    plan = Plan(steps=40, rounds=3, round_share=0.5)
    assert round_lengths(plan) == [40, 20, 20]
    losses = torch.linspace(1, 6, 80)
    order = RoundOrder(plan, seed=3)
    walked = [order.batch_of(step, losses) for step in range(80)]
    assert walked[:40] == [(0, i) for i in range(40)]
    assert len({batch for round_, batch in walked if round_ == 1}) == 20
    fresh = RoundOrder(plan, seed=3)  # as after a resume in the last round
    assert [fresh.batch_of(step, losses) for step in range(60, 80)] == walked[60:]
    known = fresh.last_losses(2, losses)
    for step in range(40, 60):
        assert known[walked[step][1]] == losses[step]
    assert [b for _, b in walked[40:60]] != sorted(b for _, b in walked[40:60])
