"""Log-likelihoods of continuations, a shared context computed once: the choices of an item have the same question.

Contexts of equal length make a batch, so that no context is padded; continuations run on the context's cached keys,
padded on the right, where causal attention never looks. Batches depend on the requests and ``batch_size`` only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pocketlm.model.cache import Cache
from pocketlm.model.decoder import Decoder

T = TypeVar("T")
ROWS = 1 << 21  # logits computed at once, in elements


@dataclass(frozen=True)
class Request:
    """Score ``continuation`` after ``context``; neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


Score = tuple[float, bool]


def fit(context: Sequence[int], continuation: Sequence[int], max_length: int) -> Request:
    """The request cut from the left as lm-eval's HFLM does: the model reads at most ``max_length`` tokens."""
    tokens = (list(context) + list(continuation))[-(max_length + 1) :]
    kept = min(len(continuation), len(tokens) - 1)
    return Request(tuple(tokens[:-kept]), tuple(tokens[-kept:]))


@torch.inference_mode()
def score(decoder: Decoder, requests: Sequence[Request], batch_size: int) -> list[Score]:
    """(sum of log-probabilities in nats, whether greedy decoding gives it) of each request, in order."""
    unique = sorted(set(requests), key=lambda r: (len(r.context), r.context, len(r.continuation), r.continuation))
    found: dict[Request, Score] = {}
    for batch in _batches(unique, batch_size):
        contexts = list(dict.fromkeys(r.context for r in batch))
        found.update(_score_batch(decoder, contexts, batch, batch_size))
    return [found[request] for request in requests]


def _batches(requests: list[Request], batch_size: int) -> Iterator[list[Request]]:
    """Requests of at most ``batch_size`` different contexts of one length."""
    for _, same_length in itertools.groupby(requests, lambda r: len(r.context)):
        contexts = [list(group) for _, group in itertools.groupby(same_length, lambda r: r.context)]
        for part in _parts(contexts, batch_size):
            yield [request for group in part for request in group]


def _parts(values: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _score_batch(
    decoder: Decoder, contexts: list[tuple[int, ...]], batch: list[Request], batch_size: int
) -> dict[Request, Score]:
    """Prefill the contexts, read each first token there, then run the rest of the continuations on the cache."""
    device = decoder.head_weight.device
    longest = max(len(r.continuation) for r in batch)
    room = len(contexts[0]) + longest - 1
    cache = Cache(decoder.arch, len(contexts), room, decoder.head_weight.dtype, device)
    last = decoder(torch.tensor(contexts, device=device), cache=cache)[:, -1]
    row = {context: index for index, context in enumerate(contexts)}
    rows = torch.tensor([row[r.context] for r in batch], device=device)
    first = _picked(decoder, last[rows], torch.tensor([r.continuation[0] for r in batch], device=device))
    result = {r: (float(p), bool(g)) for r, p, g in zip(batch, *first, strict=True)}
    if longest == 1:
        return result
    rest = sorted((r for r in batch if len(r.continuation) > 1), key=lambda r: len(r.continuation))
    for part in _parts(rest, batch_size):
        for request, (value, greedy) in _score_rest(decoder, cache, row, part).items():
            result[request] = (result[request][0] + value, result[request][1] and greedy)
    return result


def _score_rest(
    decoder: Decoder, cache: Cache, row: dict[tuple[int, ...], int], batch: list[Request]
) -> dict[Request, Score]:
    """Continuations from their second token on, [B, T] padded on the right."""
    device = decoder.head_weight.device
    length = max(len(r.continuation) for r in batch) - 1
    padded = torch.tensor([r.continuation + (0,) * (length + 1 - len(r.continuation)) for r in batch], device=device)
    own = torch.tensor([[i < len(r.continuation) - 1 for i in range(length)] for r in batch], device=device)
    rows = torch.tensor([row[r.context] for r in batch], device=device)
    hidden = decoder(padded[:, :-1], cache=cache.select(rows))
    values, greedy = torch.zeros(own.shape, dtype=torch.float64), torch.ones(own.shape, dtype=torch.bool)
    picked = _picked(decoder, hidden[own], padded[:, 1:][own])
    values[own.cpu()], greedy[own.cpu()] = picked[0].cpu(), picked[1].cpu()
    return {r: (float(v), bool(g)) for r, v, g in zip(batch, values.sum(1), greedy.all(1), strict=True)}


def _picked(decoder: Decoder, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(log-probability fp64, is the largest) of targets [N] after hidden states [N, D]."""
    values, greedy = [], []
    for h, t in zip(*(x.split(max(1, ROWS // decoder.vocab_size)) for x in (hidden, targets)), strict=True):
        logits = decoder.logits(h).float()
        values.append(logits.log_softmax(-1).gather(1, t[:, None])[:, 0].double())
        greedy.append(logits.argmax(-1) == t)
    return torch.cat(values), torch.cat(greedy)
