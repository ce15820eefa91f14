"""Rotary positions: cosines and sines for a range or for given positions, exact or rounded to int8."""

from __future__ import annotations

import torch
from torch import Tensor


class Rope:
    """Tables of RoPE (2104.09864) with base ``theta``.

    ``int8`` is PhoneLM's rounding (2411.05046): q = round(x * 127), used as q / 127 in training and inference alike.
    Its released code takes the scale from the positions of the batch at hand; here it is fixed at 1 = max |cos|, so
    that a token's rotation does not depend on its neighbours.

    The tables are no buffers: they are computed at the first use, so that a decoder made on the meta device works.
    """

    def __init__(self, head_dim: int, theta: float, int8: bool) -> None:
        self.head_dim, self.theta, self.int8 = head_dim, theta, int8
        self.tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def compute(self, length: int) -> tuple[Tensor, Tensor]:
        """cos, sin [length, head_dim / 2] in fp32."""
        exponents = torch.arange(0, self.head_dim, 2, dtype=torch.int64).float() / self.head_dim
        frequencies = 1.0 / (self.theta**exponents)
        angles = torch.arange(length, dtype=torch.float32)[:, None] * frequencies
        cos, sin = angles.cos(), angles.sin()
        if self.int8:
            cos, sin = (cos * 127).round() / 127, (sin * 127).round() / 127
        return cos, sin

    def table(self, length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos, sin of at least ``length`` positions on a device."""
        found = self.tables.get((device, dtype))
        if found is None or found[0].shape[0] < length:
            size = max(256, 1 << (length - 1).bit_length())
            # tables outlive the caller's mode: those made under inference mode could not be used in training
            with torch.device("cpu"), torch.inference_mode(False), torch.no_grad():
                cos, sin = self.compute(size)
                found = (cos.to(device, dtype), sin.to(device, dtype))
            self.tables[device, dtype] = found
        return found

    def span(self, start: int, count: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos, sin [count, 1, head_dim / 2] of positions start .. start + count - 1."""
        cos, sin = self.table(start + count, device, dtype)
        return cos[start : start + count, None], sin[start : start + count, None]

    def at(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos, sin [B, T, 1, head_dim / 2] of given positions [B, T]."""
        cos, sin = self.table(int(positions.max()) + 1, positions.device, dtype)
        return cos[positions].unsqueeze(-2), sin[positions].unsqueeze(-2)
