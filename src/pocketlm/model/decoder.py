"""The decoder that expresses all three papers, in plain torch.

``Decoder`` is what training, search, quantization and scoring use; it never imports transformers. The files that it
needs import nothing else of this package, so that they can travel inside a model folder (``folder.py``, ``hf.py``).
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Block, Linear, RMSNorm
from .loss import IGNORE, cross_entropy_sum, token_losses
from .rope import Rope


def document_positions(documents: Tensor) -> Tensor:
    """Positions [B, T] that start again at 0 where the document id changes."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    changed = torch.ones_like(documents, dtype=torch.bool)
    changed[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(changed, index, 0).cummax(1).values


def document_mask(documents: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask [B, 1, T, T]: 0 where a token may look (same document, not later), -inf elsewhere."""
    length = documents.shape[1]
    allowed = (documents[:, :, None] == documents[:, None, :]).tril()
    mask = torch.zeros(documents.shape[0], 1, length, length, dtype=dtype, device=documents.device)
    return mask.masked_fill_(~allowed.unsqueeze(1), float("-inf"))


def causal_mask(new: int, past: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Additive mask [1, 1, new, past + new] for tokens that follow ``past`` cached ones."""
    mask = torch.full((new, past + new), float("-inf"), dtype=dtype, device=device)
    return mask.triu_(past + 1)[None, None]


class Trunk(nn.Module):
    """Embedding, blocks and final norm: token ids -> hidden states."""

    def __init__(self, arch: Any, vocab_size: int) -> None:
        super().__init__()
        self.sharing = arch.sharing
        self.embed_tokens = nn.Embedding(vocab_size, arch.d_model, _weight=torch.empty(vocab_size, arch.d_model))
        self.layers = nn.ModuleList(Block(arch) for _ in range(arch.n_layers))
        self.norm = RMSNorm(arch.d_model, arch.norm_eps)
        self.rope = Rope(arch.head_dim, arch.rope_theta, arch.rope_int8)

    def forward(
        self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """ids, positions [B, T]; mask additive or bool [B or 1, 1, T, S], None = causal -> hidden [B, T, D]."""
        x = self.embed_tokens(ids)
        past = cache.length if cache is not None else 0
        kind = ids.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        if positions is None:
            rope = self.rope.span(past, ids.shape[1], ids.device, dtype)
        else:
            rope = self.rope.at(positions, dtype)
        if mask is None and past and ids.shape[1] > 1:
            mask = causal_mask(ids.shape[1], past, dtype, ids.device)
        slot = 0
        for layer in self.layers:
            # immediate block-wise sharing (MobileLLM-LS, 2402.14905): the same weights several times in a row
            for _ in range(self.sharing):
                x = layer(x, rope, mask, cache, slot)
                slot += 1
        if cache is not None:
            cache.advance(ids.shape[1])
        return self.norm(x)


class Decoder(nn.Module):
    """A causal language model. ``arch`` has the fields of ``config.Architecture``.

    ``seed`` initialises the weights (``init_weights``); None leaves them unset for a loader to fill.
    """

    def __init__(self, arch: Any, vocab_size: int, seed: int | None = 0) -> None:
        super().__init__()
        self.arch, self.vocab_size = arch, vocab_size
        self.model = Trunk(arch, vocab_size)
        self.lm_head = None if arch.tied else Linear(arch.d_model, vocab_size)
        if seed is not None and not self.model.embed_tokens.weight.is_meta:
            self.init_weights(seed)

    @property
    def head_weight(self) -> Tensor:
        """The matrix [V, D] of the output head: the embedding's own when tied."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def forward(
        self, ids: Tensor, positions: Tensor | None = None, documents: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """Hidden states [B, T, D] of ids [B, T].

        ``documents`` [B, T] makes attention block-diagonal causal: tokens see earlier ones with the same id only, and
        positions start again with each. ``cache`` (``cache.Cache``) holds the tokens before these and takes these.
        """
        mask = None
        if documents is not None:
            if cache is not None:
                raise ValueError("documents and a cache exclude each other: decode one document in a row of the cache")
            kind = ids.device.type
            autocast = torch.is_autocast_enabled(kind)
            mask = document_mask(documents, torch.get_autocast_dtype(kind) if autocast else self.head_weight.dtype)
            positions = document_positions(documents) if positions is None else positions
        return self.model(ids, positions, mask, cache)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of hidden states [..., D]."""
        return F.linear(hidden, self.head_weight)

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        documents: Tensor | None = None,
        positions: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Cross-entropy in nats over targets [B, T] that are not -100: their mean, or their sum (accumulation)."""
        hidden = self.forward(ids, positions, documents).flatten(0, 1)
        flat = targets.flatten()
        total = cross_entropy_sum(hidden, self.head_weight, flat)
        return total if reduction == "sum" else total / (flat != IGNORE).sum().clamp(min=1)

    @torch.no_grad()
    def token_losses(self, ids: Tensor, targets: Tensor, documents: Tensor | None = None) -> Tensor:
        """The loss in nats of every token, fp32 [B, T]; 0 where the target is -100."""
        hidden = self.forward(ids, documents=documents).flatten(0, 1)
        return token_losses(hidden, self.head_weight, targets.flatten()).view_as(targets)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Normal with one std for every matrix (PanGu-pi Pro's "constant"), ones for norms.

        Each tensor draws from a generator of its own name, so that its values do not depend on the other modules.
        """
        for name, parameter in self.named_parameters():
            init_tensor(name, parameter, seed, self.arch.init_std)


def init_tensor(name: str, parameter: Tensor, seed: int, std: float) -> None:
    """Initialise one tensor in place by its name."""
    if name.endswith("norm.weight"):
        parameter.fill_(1.0)
    elif name.endswith("series_scale"):
        parameter.copy_((1.0 / torch.arange(1, parameter.shape[0] + 1)).unsqueeze(1).expand_as(parameter))
    elif name.endswith("series_bias"):
        parameter.zero_()
    else:
        number = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1
        generator = torch.Generator().manual_seed(number)
        parameter.copy_(torch.empty(parameter.shape, dtype=torch.float32).normal_(0.0, std, generator=generator))
