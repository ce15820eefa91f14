"""The hot elementwise operations of the decoder, with backward passes written out for eager training on a CPU.

At the widths of small models, eager autograd's passes over memory cost as much as the matrix products. Each function
has two formulations: ``*_plain`` in ordinary operations, which ``torch.compile`` and CUDA use, and an
``autograd.Function`` that writes results and gradients straight to where they are read next. Tests compare the two.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PLAIN = {
    "silu": F.silu,
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),  # squared ReLU: Primer, 2109.08668
    "gelu": F.gelu,
}


def eager_cpu(x: Tensor) -> bool:
    """Whether the hand-written passes pay."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


# RMSNorm (1910.07467): y = w * x / sqrt(mean(x^2) + eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if eager_cpu(x):
        return RMSNorm.apply(x, weight, eps)
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)


class RMSNorm(torch.autograd.Function):
    """Saves x and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = norm.square_().mul_(1.0 / x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        grad, weight = grads[0], weight.to(x.dtype)
        unit = x * scale
        grad_weight = (grad * unit).reshape(-1, x.shape[-1])
        # the row's mean of grad * w * x_hat is one matrix-vector product
        mean = (grad_weight @ weight).view(scale.shape).mul_(1.0 / x.shape[-1])
        grad_x = (grad * weight).addcmul_(unit, mean, value=-1).mul_(scale)
        return grad_x, grad_weight.sum(0).to(ctx.saved_tensors[1].dtype), None


# RoPE (2104.09864) in Llama's layout of halves: y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin


def rotate_into(out: Tensor, x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """out, x [B, T, H, head_dim]; cos, sin [T or B x T, 1, head_dim / 2]."""
    half = x.shape[-1] // 2
    x1, x2, o1, o2 = x[..., :half], x[..., half:], out[..., :half], out[..., half:]
    torch.mul(x1, cos, out=o1)
    o1.addcmul_(x2, sin, value=-1)
    torch.mul(x2, cos, out=o2)
    o2.addcmul_(x1, sin)


def rotate_plain(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)


def split_rotate(qkv: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated q [B, H, T, hd], rotated k and v [B, KV, T, hd] of stacked projections [B, T, (H + 2 KV) hd]."""
    if eager_cpu(qkv):
        return SplitRotate.apply(qkv, cos, sin, heads, kv_heads)
    q, k, v = qkv.unflatten(-1, (heads + 2 * kv_heads, -1)).split([heads, kv_heads, kv_heads], dim=2)
    return rotate_plain(q, cos, sin).transpose(1, 2), rotate_plain(k, cos, sin).transpose(1, 2), v.transpose(1, 2)


class SplitRotate(torch.autograd.Function):
    """Writes q, k, v head by head in one buffer, which the attention kernel reads a third faster than strided rows."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, ...]:
        ctx.save_for_backward(cos, sin)
        ctx.sizes = (heads, kv_heads)
        batch, length, width = qkv.shape
        x = qkv.view(batch, length, heads + 2 * kv_heads, -1)
        rotated = heads + kv_heads
        out = qkv.new_empty(batch, x.shape[2], length, x.shape[3])
        rotate_into(out[:, :rotated].transpose(1, 2), x[:, :, :rotated], cos, sin)
        out[:, rotated:].copy_(x[:, :, rotated:].transpose(1, 2))
        return out[:, :heads], out[:, heads:rotated], out[:, rotated:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        cos, sin = ctx.saved_tensors
        heads, kv_heads = ctx.sizes
        dq, dk, dv = (g.transpose(1, 2) for g in grads)
        batch, length = dq.shape[:2]
        out = dq.new_empty(batch, length, heads + 2 * kv_heads, dq.shape[3])
        rotate_into(out[:, :, :heads], dq, cos, -sin)  # the gradient of a rotation is the rotation back
        rotate_into(out[:, :, heads : heads + kv_heads], dk, cos, -sin)
        out[:, :, heads + kv_heads :].copy_(dv)
        return out.view(batch, length, -1), None, None, None, None


# causal attention: softmax(q k^T / sqrt(hd)) v, with the query heads of a kv head as queries of one attention


class CausalAttention(torch.autograd.Function):
    """Matrix products over blocks of queries and the keys up to each block's end; the backward pass computes p again.

    On a CPU that multiplies bf16 this takes about half the time of torch's flash kernel, whose products are small.
    Scores are rounded to bf16 there, as in ordinary attention under autocast; the softmax is computed in fp32.
    """

    BLOCK = 128

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [B, H, T, hd], k, v [B, KV, T, hd] -> [B, H, T, hd]."""
        ctx.shapes = (q.shape, k.shape)
        q, k, v = q.reshape(k.shape[0] * k.shape[1], -1, *q.shape[2:]), k.flatten(0, 1), v.flatten(0, 1)
        ctx.save_for_backward(q, k, v)
        out = torch.empty_like(q)
        for start in range(0, q.shape[2], CausalAttention.BLOCK):
            part = slice(start, min(start + CausalAttention.BLOCK, q.shape[2]))
            probability, _ = attention_block(q, k, part)
            out[:, :, part] = torch.bmm(probability, v[:, : part.stop]).view_as(out[:, :, part])
        return out.view(ctx.shapes[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = ctx.saved_tensors
        grad, scale = grads[0].reshape(q.shape), q.shape[-1] ** -0.5
        dq = torch.empty_like(q)
        exact = torch.promote_types(q.dtype, torch.float32)
        dk, dv = torch.zeros_like(k, dtype=exact), torch.zeros_like(v, dtype=exact)
        for start in range(0, q.shape[2], CausalAttention.BLOCK):
            part = slice(start, min(start + CausalAttention.BLOCK, q.shape[2]))
            probability, rows = attention_block(q, k, part)
            above = grad[:, :, part].reshape(rows.shape)
            dv[:, : part.stop] += torch.bmm(probability.mT, above)
            ds = torch.bmm(above, v[:, : part.stop].mT)
            ds = torch.ops.aten._softmax_backward_data(ds, probability, -1, ds.dtype).mul_(scale)
            dq[:, :, part] = torch.bmm(ds, k[:, : part.stop]).view_as(dq[:, :, part])
            dk[:, : part.stop] += torch.bmm(ds.mT, rows)
        dk, dv = (x.to(q.dtype).view(ctx.shapes[1]) for x in (dk, dv))
        return dq.view(ctx.shapes[0]), dk, dv


def attention_block(q: Tensor, k: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """Attention weights [n, G t, s] and queries [n, G t, hd] of the positions ``part`` of q [n, G, T, hd].

    k [n, S, hd]; s is the end of ``part``.
    """
    rows = q[:, :, part].flatten(1, 2)
    keys = k[:, : part.stop].mT
    scores = q.new_empty(rows.shape[0], rows.shape[1], part.stop)
    torch.baddbmm(scores, rows, keys, beta=0, alpha=q.shape[-1] ** -0.5, out=scores)
    later = torch.full((part.stop - part.start,) * 2, float("-inf"), dtype=q.dtype).triu_(1)
    scores.view(len(q), -1, len(later), part.stop)[..., part] += later
    return torch.softmax(scores, -1), rows


# gated feed-forward (2002.05202): act(gate) * up of stacked projections [..., 2 d_ff]


def gated(gate_up: Tensor, activation: str) -> Tensor:
    if eager_cpu(gate_up):
        return Gated.apply(gate_up, activation)
    gate, up = gate_up.chunk(2, dim=-1)
    return PLAIN[activation](gate) * up


def activation_gradient(grad: Tensor, gate: Tensor, active: Tensor, activation: str, out: Tensor) -> None:
    """out = grad * act'(gate); ``active`` is act(gate)."""
    if activation == "silu":
        torch.ops.aten.silu_backward.grad_input(grad, gate, grad_input=out)
    elif activation == "gelu":
        torch.ops.aten.gelu_backward.grad_input(grad, gate, grad_input=out)
    elif activation == "relu":
        torch.ops.aten.threshold_backward.grad_input(grad, active, 0, grad_input=out)
    else:
        torch.mul(grad, F.relu(gate), out=out).mul_(2)


class Gated(torch.autograd.Function):
    """Writes both gradients into the halves of one buffer."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, activation: str) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        active = PLAIN[activation](gate)
        ctx.save_for_backward(gate_up, active)
        ctx.activation = activation
        return active * up

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        gate_up, active = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        out = torch.empty_like(gate_up)
        grad_gate, grad_up = out.chunk(2, dim=-1)
        torch.mul(grads[0], active, out=grad_up)
        activation_gradient(grads[0] * up, gate, active, ctx.activation, grad_gate)
        return out, None
