"""Key/value cache: preallocated, one slot for each *execution* of a block.

MobileLLM's released code lets both executions of a shared block write to one slot, so that the second attends to the
first one's keys; here each execution has its own, and decoding step by step equals the full forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Cache:
    """Keys and values of ``n_layers x sharing`` executions for ``batch`` rows of at most ``max_len`` tokens.

    ``keys`` and ``values`` are seen as [slot, batch, token, kv head, head_dim]; in memory a head's tokens lie together,
    as the attention kernel reads them.
    """

    def __init__(
        self,
        arch: Any,
        batch: int,
        max_len: int,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        shape = (arch.n_layers * arch.sharing, batch, arch.n_kv_heads, max_len, arch.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device).transpose(2, 3)
        self.values = torch.zeros(shape, dtype=dtype, device=device).transpose(2, 3)
        self.length = 0  # tokens that every slot holds; the decoder advances it after the last block

    @property
    def max_len(self) -> int:
        return self.keys.shape[2]

    def update(self, slot: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys, values [B, KV, T, head_dim] to a slot; all that it holds, [B, KV, length + T, head_dim]."""
        end = self.length + keys.shape[2]
        if end > self.max_len:
            raise ValueError(f"the cache has room for {self.max_len} tokens, not {end}: make it with a larger max_len")
        self.keys[slot, :, self.length : end] = keys.transpose(1, 2)
        self.values[slot, :, self.length : end] = values.transpose(1, 2)
        return self.keys[slot, :, :end].transpose(1, 2), self.values[slot, :, :end].transpose(1, 2)

    def advance(self, count: int) -> None:
        """Count the tokens that all slots have taken."""
        self.length += count

    def truncate(self, length: int) -> None:
        """Forget everything after ``length`` tokens."""
        self.length = min(self.length, length)

    def select(self, rows: Tensor) -> Cache:
        """A new cache with these rows (repeats allowed), for a prompt that is shared by several continuations."""
        new: Cache = object.__new__(Cache)
        new.keys, new.values, new.length = self.keys[:, rows], self.values[:, rows], self.length
        return new
