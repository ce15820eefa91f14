"""Greedy answers for many prompts of different lengths in one batch, without padding.

A batch starts with as many tokens as its shortest prompt has; while a longer prompt is not used up, its next token is
the next input. Every row therefore reads exactly its own tokens at their own positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from pocketlm.model.cache import Cache
from pocketlm.model.decoder import Decoder


@dataclass
class _Row:
    """A prompt, the answer so far, and whether it has ended."""

    prompt: list[int]
    answer: list[int] = field(default_factory=list)
    done: bool = False

    def take(self, token: int, position: int, stop_ids: frozenset[int], limit: int) -> int:
        """The next input, after the model proposed ``token`` for ``position``."""
        if position < len(self.prompt):
            return self.prompt[position]
        if self.done or token in stop_ids:
            self.done = True
        else:
            self.answer.append(token)
            self.done = len(self.answer) == limit
        return token


@torch.inference_mode()
def greedy(
    decoder: Decoder, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop_ids: Sequence[int], batch_size: int
) -> list[list[int]]:
    """New tokens of every prompt (not empty), up to and without the first stop id."""
    rows = [_Row(list(prompt)) for prompt in prompts]
    by_length = sorted(rows, key=lambda row: len(row.prompt))
    for start in range(0, len(rows), batch_size):
        _decode(decoder, by_length[start : start + batch_size], max_new_tokens, frozenset(stop_ids))
    return [row.answer for row in rows]


def _decode(decoder: Decoder, rows: list[_Row], limit: int, stop_ids: frozenset[int]) -> None:
    """Fill the answers of rows that are sorted by the length of their prompts."""
    weight = decoder.head_weight
    position = len(rows[0].prompt)
    cache = Cache(decoder.arch, len(rows), len(rows[-1].prompt) + limit, weight.dtype, weight.device)
    ids = torch.tensor([row.prompt[:position] for row in rows], device=weight.device)
    while rows:
        proposed = decoder.logits(decoder(ids, cache=cache)[:, -1]).argmax(-1).tolist()
        inputs = [row.take(token, position, stop_ids, limit) for row, token in zip(rows, proposed, strict=True)]
        running = [index for index, row in enumerate(rows) if not row.done]
        if len(running) <= len(rows) * 3 // 4:  # ended rows compute along until it pays to leave them out
            cache = cache.select(torch.tensor(running, dtype=torch.long, device=weight.device))
            rows, inputs = [rows[i] for i in running], [inputs[i] for i in running]
        ids = torch.tensor(inputs, device=weight.device)[:, None]
        position += 1
