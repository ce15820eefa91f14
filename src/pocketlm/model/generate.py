"""Greedy and sampled generation with the cache, without transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .cache import Cache


def choose(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator | None) -> Tensor:
    """The next token [B] of logits [B, V]: the likeliest at temperature 0, else drawn (on the CPU, from the seed)."""
    if temperature <= 0:
        return logits.argmax(-1)
    scaled = logits.float().cpu() / temperature
    if top_k:
        scaled = scaled.masked_fill(scaled < scaled.topk(min(top_k, scaled.shape[-1])).values[:, -1:], float("-inf"))
    return torch.multinomial(scaled.softmax(-1), 1, generator=generator).squeeze(1).to(logits.device)


def buckets(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices of prompts of equal length, at most ``batch_size`` together: no padding, so batches change no result."""
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    for length in sorted(by_length):
        group = by_length[length]
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]


@torch.inference_mode()
def steps(
    decoder: Any, ids: Tensor, max_new_tokens: int, temperature: float, top_k: int, generator: torch.Generator | None
) -> Iterator[Tensor]:
    """Yield the next tokens [B] after ids [B, T], one step at a time."""
    weight = decoder.head_weight
    cache = Cache(decoder.arch, ids.shape[0], ids.shape[1] + max_new_tokens, weight.dtype, weight.device)
    for _ in range(max_new_tokens):
        hidden = decoder(ids, cache=cache)[:, -1]
        token = choose(decoder.logits(hidden), temperature, top_k, generator)
        yield token
        ids = token.unsqueeze(1)


def generate(
    decoder: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    batch_size: int = 32,
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
) -> list[list[int]]:
    """The new tokens of every prompt (token ids, not empty), up to and without the first stop id."""
    if any(not prompt for prompt in prompts):
        raise ValueError("a prompt is empty: begin it with the tokenizer's <|endoftext|>")
    results: list[list[int]] = [[] for _ in prompts]
    decoder.eval()
    for group in buckets(prompts, batch_size):
        generator = torch.Generator().manual_seed(seed + group[0])
        ids = torch.tensor([list(prompts[i]) for i in group], device=decoder.head_weight.device)
        running = set(range(len(group)))
        for tokens in steps(decoder, ids, max_new_tokens, temperature, top_k, generator):
            for row, token in enumerate(tokens.tolist()):
                if row in running and token in stop_ids:
                    running.remove(row)
                elif row in running:
                    results[group[row]].append(token)
            if not running:
                break
    return results


def stream(
    decoder: Any,
    prompt: Sequence[int],
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
) -> Iterator[int]:
    """The new tokens of one prompt as they come."""
    decoder.eval()
    ids = torch.tensor([list(prompt)], device=decoder.head_weight.device)
    generator = torch.Generator().manual_seed(seed)
    for tokens in steps(decoder, ids, max_new_tokens, temperature, top_k, generator):
        token = int(tokens[0])
        if token in stop_ids:
            return
        yield token
