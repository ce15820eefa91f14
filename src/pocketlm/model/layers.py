"""The parts of a decoder block: RMSNorm, attention, feed-forward, and PanGu-pi's two modules.

Names of parameters are those of Hugging Face's Llama, so that a plain Llama is exported by writing its config.json.
In training, projections that read the same input run as one matrix product over their stacked weights, when the model
is narrow enough for the copy of the weights to cost nothing; in evaluation every ``nn.Linear`` is called itself, so
that hooks see its input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import PLAIN, CausalAttention, eager_cpu, gated, rms_norm, split_rotate

FUSE_WIDTH = 512  # stack weights up to this d_model


class Linear(nn.Linear):
    """A linear map without bias that leaves its weight to ``init_weights``."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__(d_in, d_out, bias=False)

    def reset_parameters(self) -> None:
        pass


class RMSNorm(nn.Module):
    """1910.07467."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


def stacked(x: Tensor, maps: list[nn.Linear], fuse: bool) -> Tensor:
    """The outputs of several linear maps of one input side by side; in one matrix product where that pays."""
    if fuse:
        return F.linear(x, torch.cat([m.weight for m in maps]))
    return torch.cat([m(x) for m in maps], dim=-1)


class Shortcut(nn.Module):
    """One term of the augmented shortcut (PanGu-pi, 2312.17276): FC d -> d/r, GELU, FC d/r -> d."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        inner = max(1, width // ratio)
        self.down_proj, self.up_proj = Linear(width, inner), Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.up_proj(F.gelu(self.down_proj(x)))


class Attention(nn.Module):
    """Causal attention with grouped key/value heads (GQA, 2305.13245) and a free head size.

    With ``shortcuts`` = T > 0, AugMSA(Z) = MSA(Z) + sum_i T_i(Z) stands in the residual branch (2312.17276); Z is the
    normed input of the attention; the identity is the block's own residual.
    """

    def __init__(self, arch: Any) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = arch.n_heads, arch.n_kv_heads, arch.head_dim
        q, kv = arch.n_heads * arch.head_dim, arch.n_kv_heads * arch.head_dim
        self.q_proj, self.k_proj, self.v_proj = (Linear(arch.d_model, n) for n in (q, kv, kv))
        self.o_proj = Linear(q, arch.d_model)
        if arch.shortcuts:
            self.shortcuts = nn.ModuleList(Shortcut(arch.d_model, arch.shortcut_ratio) for _ in range(arch.shortcuts))
        self.fuse = arch.d_model <= FUSE_WIDTH

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, cache: Any, slot: int) -> Tensor:
        """x [B, T, D]; rope cos, sin [T or B x T, 1, head_dim / 2]; mask [B or 1, 1, T, S] or None for plain causal."""
        qkv = stacked(x, [self.q_proj, self.k_proj, self.v_proj], self.fuse and self.training)
        q, k, v = split_rotate(qkv, *rope, self.n_heads, self.n_kv_heads)
        if cache is not None:
            k, v = cache.update(slot, k, v)
        out = self.o_proj(self.attend(q, k, v, mask).flatten(2))
        if hasattr(self, "shortcuts"):
            for shortcut in self.shortcuts:
                out = out + shortcut(x)
        return out

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of q [B, H, T, hd] over k, v [B, KV, S, hd] -> [B, T, H, hd]."""
        batch, heads, length, head_dim = q.shape
        if length == 1:
            # the query heads of one kv head are queries of one attention: no copy of the cache
            q = q.reshape(batch, self.n_kv_heads, -1, head_dim)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).reshape(batch, 1, heads, head_dim)
        if mask is None and self.training and q.dtype == torch.bfloat16 and eager_cpu(q):  # in fp32 torch's is faster
            return CausalAttention.apply(q, k, v).transpose(1, 2)
        grouped = self.n_kv_heads != heads
        if grouped and not q.is_cuda:  # the CPU's kernel is faster on repeated heads
            k, v = (x.repeat_interleave(heads // self.n_kv_heads, dim=1) for x in (k, v))
            grouped = False
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped)
        return out.transpose(1, 2)


class FeedForward(nn.Module):
    """Gated down(act(gate) * up) (2002.05202) or plain down(act(up)).

    With ``series`` = n > 0 the activation is PanGu-pi's series, sum_i act(a_i x + b_i) (2312.17276), with a_i, b_i
    learned for every channel. It starts at a_i = 1 / i, b_i = 0: with equal slopes the terms would stay equal.
    """

    def __init__(self, arch: Any) -> None:
        super().__init__()
        if arch.gated:
            self.gate_proj = Linear(arch.d_model, arch.d_ff)
        self.up_proj = Linear(arch.d_model, arch.d_ff)
        self.down_proj = Linear(arch.d_ff, arch.d_model)
        self.activation, self.gated, self.series = arch.activation, arch.gated, arch.series
        if arch.series:
            self.series_scale = nn.Parameter(torch.empty(arch.series, arch.d_ff))
            self.series_bias = nn.Parameter(torch.empty(arch.series, arch.d_ff))
        self.fuse = arch.d_model <= FUSE_WIDTH

    def activate(self, x: Tensor) -> Tensor:
        act = PLAIN[self.activation]
        if not self.series:
            return act(x)
        terms = [act(torch.addcmul(b, x, a)) for a, b in zip(self.series_scale, self.series_bias, strict=True)]
        return sum(terms[1:], terms[0])

    def forward(self, x: Tensor) -> Tensor:
        if not self.gated:
            return self.down_proj(self.activate(self.up_proj(x)))
        both = stacked(x, [self.gate_proj, self.up_proj], self.fuse and self.training)
        if not self.series:
            return self.down_proj(gated(both, self.activation))
        gate, up = both.chunk(2, dim=-1)
        return self.down_proj(self.activate(gate) * up)


class Block(nn.Module):
    """A pre-norm decoder block."""

    def __init__(self, arch: Any) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(arch.d_model, arch.norm_eps)
        self.self_attn = Attention(arch)
        self.post_attention_layernorm = RMSNorm(arch.d_model, arch.norm_eps)
        self.mlp = FeedForward(arch)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, cache: Any, slot: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, mask, cache, slot)
        return x + self.mlp(self.post_attention_layernorm(x))
