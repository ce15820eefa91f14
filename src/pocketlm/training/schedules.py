"""Learning-rate rules: how the rate moves over the steps, and how it follows batch size and width."""

from __future__ import annotations

import math

from pocketlm.config import ConfigError, Plan

SCHEDULES = ("cosine", "wsd", "linear", "constant")


def factor(step: int, total: int, plan: Plan) -> float:
    """The share of the peak rate at ``step`` (0-based) of ``total``, over all rounds.

    Linear warm-up to 1 over ``warmup`` steps (never 0: the first step uses 1/warmup), then ``plan.schedule``:
    cosine to ``floor`` (MobileLLM, PanGu-pi Pro, PhoneLM's code), WSD (1, then down to ``floor`` over the last
    ``decay`` share: MiniCPM, arXiv 2404.06395), linear to ``floor``, or constant. The last step has exactly ``floor``.
    """
    warmup = min(plan.warmup, max(0, total - 1))
    if step < warmup:
        return (step + 1) / warmup
    if plan.schedule == "constant":
        return 1.0
    if plan.schedule == "wsd":
        falling = max(1, round(plan.decay * total))
        return decayed(min(1.0, max(0.0, (step + 1 - (total - falling)) / falling)), plan)
    progress = (step - warmup) / max(1, total - 1 - warmup)
    if plan.schedule == "cosine":
        return plan.floor + (1.0 - plan.floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    if plan.schedule == "linear":
        return 1.0 - (1.0 - plan.floor) * min(1.0, progress)
    raise ConfigError(f"plans: schedule={plan.schedule}: unknown; use one of {', '.join(SCHEDULES)}")


def decayed(progress: float, plan: Plan) -> float:
    """WSD's decay at ``progress`` from 0 to 1: a line, or MiniCPM's 0.5^(t / T) with the T that ends on ``floor``."""
    if plan.decay_shape == "exponential":
        return float(plan.floor**progress)
    return 1.0 - (1.0 - plan.floor) * progress


def batch_factor(plan: Plan) -> float:
    """(batch / reference)^power: power 1 is MobileLLM's linear rule, 0.5 PanGu-pi Pro's square root."""
    if plan.batch_reference is None:
        return 1.0
    return float((plan.batch_size / plan.batch_reference) ** plan.batch_power)


def width_factor(plan: Plan, d_model: int) -> float:
    """reference / d_model for matrices under AdamW, so that shapes of a search are compared at fair rates (muP)."""
    return 1.0 if plan.lr_width_reference is None else plan.lr_width_reference / d_model
