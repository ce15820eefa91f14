"""Scales of symmetric integers: min-max for 8 bits, the best of a clip grid by squared error for 4 bits."""

from __future__ import annotations

import torch

GRID = [1.0 - 0.02 * step for step in range(26)]  # clip at 100% .. 50% of the largest magnitude


def limits(bits: int) -> tuple[int, int]:
    """(-2^(b-1), 2^(b-1) - 1)"""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def as_stored(scale: torch.Tensor) -> torch.Tensor:
    """A scale as the file holds it (bf16), never 0, in fp32: values are rounded against what will be read back."""
    stored = scale.to(torch.bfloat16).float()
    return torch.where(stored == 0, torch.full_like(stored, torch.finfo(torch.bfloat16).tiny), stored)


def quantized(weight: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """Integers (in fp32) of ``weight`` [..., group] with ``scale`` [..., 1]."""
    low, high = limits(bits)
    return torch.round(weight / scale).clamp(low, high)


def minmax(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Scale [..., 1] of the last dimension so that its largest magnitude is the largest integer."""
    return as_stored(weight.abs().amax(-1, keepdim=True) / limits(bits)[1])


def least_squares(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Scale [..., 1] with the least squared error over the grid.

    The integers reach one step further down than up, so each clip is tried with both signs: a negative scale gives the
    long side to the positive values (llama.cpp's q4_0 does the same).
    """
    peak = weight.abs().amax(-1, keepdim=True)
    best = minmax(weight, bits)
    error = _error(weight, best, bits)
    for clip in GRID:
        for steps in (limits(bits)[1], -limits(bits)[0], limits(bits)[0]):
            scale = as_stored(peak * clip / steps)
            trial = _error(weight, scale, bits)
            better = trial < error
            best, error = torch.where(better, scale, best), torch.where(better, trial, error)
    return best


def _error(weight: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    return (quantized(weight, scale, bits) * scale - weight).square().sum(-1, keepdim=True)


def round_to_nearest(weight: torch.Tensor, bits: int, size: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(dequantised [out, in], scales [out, groups]) by rounding; ``size`` None: one scale a row."""
    grouped = weight.float().unflatten(-1, (-1, size or weight.shape[-1]))
    scale = least_squares(grouped, bits) if bits < 8 else minmax(grouped, bits)
    return (quantized(grouped, scale, bits) * scale).flatten(-2), scale.squeeze(-1)
