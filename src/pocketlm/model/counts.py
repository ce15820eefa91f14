"""Sizes and costs of an architecture by formula: parameters, FLOPs, KV cache, weight bytes. No torch.

Every function takes numbers or numpy arrays through ``arch``'s fields, so that a search counts tens of thousands of
candidates at once: ``params(candidates)`` with an object whose fields are arrays works like one with plain numbers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

# Bits a linear weight, scales included. int8: a scale for an output row, left out; int4: a bf16 scale for a group
# (``weight_bytes``); GGUF: blocks of 32 with an fp16 scale.
FIELDS = (
    "n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "gated", "tied", "sharing", "series",
    "shortcuts", "shortcut_ratio",
)  # fmt: skip
SCHEME_BITS = {"fp32": 32.0, "bf16": 16.0, "int8": 8.0, "w8a8": 8.0, "gguf_q8_0": 8.5, "gguf_q4_0": 4.5}


def attention_params(arch: Any) -> Any:
    """Weights of q, k, v and o of one block."""
    return 2 * arch.d_model * arch.head_dim * (arch.n_heads + arch.n_kv_heads)


def ffn_params(arch: Any) -> Any:
    """Weights of the feed-forward of one block."""
    return arch.d_model * arch.d_ff * (2 + np.asarray(arch.gated, dtype=np.int64))


def shortcut_params(arch: Any) -> Any:
    """Weights of PanGu-pi's augmented shortcuts of one block: T bottlenecks of width d / r."""
    inner = np.maximum(1, np.asarray(arch.d_model) // np.asarray(arch.shortcut_ratio))
    return arch.shortcuts * 2 * arch.d_model * inner


def block_matrices(arch: Any) -> Any:
    """Weights of all matrices of one block."""
    return attention_params(arch) + ffn_params(arch) + shortcut_params(arch)


def block_params(arch: Any) -> Any:
    """All parameters of one block: matrices, two norms, and the series activation's slopes and offsets."""
    return block_matrices(arch) + 2 * arch.d_model + 2 * arch.series * arch.d_ff


def embedding_params(arch: Any, vocab_size: Any) -> Any:
    """Embedding and, when it is not tied, output head."""
    return vocab_size * arch.d_model * (2 - np.asarray(arch.tied, dtype=np.int64))


def total(arch: Any, vocab_size: Any) -> Any:
    """All parameters; each shared or tied one counts once."""
    return embedding_params(arch, vocab_size) + arch.n_layers * block_params(arch) + arch.d_model


def params(arch: Any, vocab_size: int) -> int:
    """The number of parameters of one architecture."""
    return int(total(arch, vocab_size))


def embedding_share(arch: Any, vocab_size: Any) -> Any:
    """Share of embedding and head in all parameters, 0..1."""
    return embedding_params(arch, vocab_size) / total(arch, vocab_size)


def flops_per_token(arch: Any, vocab_size: Any, context: Any = 0) -> Any:
    """Floating-point operations of a forward pass for one token that sees ``context`` tokens.

    2 a weight and execution (head included, embedding not), and 4 x heads x head_dim for each token it attends to.
    Training costs three times as much. Norms, RoPE and activations are not counted.
    """
    attention = 4 * arch.n_heads * arch.head_dim * context
    return arch.n_layers * arch.sharing * (2 * block_matrices(arch) + attention) + 2 * arch.d_model * vocab_size


def kv_bytes_per_token(arch: Any, bytes_per_value: int = 2) -> Any:
    """KV-cache bytes a token: keys and values of every execution of a block."""
    return 2 * arch.n_kv_heads * arch.head_dim * arch.n_layers * arch.sharing * bytes_per_value


def weight_bytes(arch: Any, vocab_size: Any, scheme: str = "bf16", group_size: int = 32) -> Any:
    """Bytes of the stored weights under a scheme: matrices in it; embedding, head, norms in 16 bits (32 under fp32).

    GGUF schemes quantize the embedding too and keep norms in 32 bits.
    """
    bits = 4.0 + 16.0 / group_size if scheme == "int4" else SCHEME_BITS[scheme]
    matrices = arch.n_layers * block_matrices(arch)
    embedding = embedding_params(arch, vocab_size)
    rest = total(arch, vocab_size) - matrices - embedding
    gguf = scheme.startswith("gguf")
    high = 32.0 if gguf or scheme == "fp32" else 16.0
    return (matrices * bits + embedding * (bits if gguf else max(bits, 16.0)) + rest * high) / 8


def array_of(architectures: list[Any]) -> SimpleNamespace:
    """The numeric fields of many architectures as arrays, for the functions above."""
    return SimpleNamespace(**{n: np.array([getattr(a, n) for a in architectures], dtype=np.int64) for n in FIELDS})


def count_params_array(candidates: Any, vocab_size: Any) -> Any:
    """Parameters of many candidates: ``candidates`` has arrays as fields (``array_of``), int64 array out."""
    return np.asarray(total(candidates, vocab_size), dtype=np.int64)


def summary(arch: Any, vocab_size: int, context: int = 0) -> dict[str, Any]:
    """One row of the size table."""
    schemes = ("bf16", "int8", "int4", "gguf_q8_0", "gguf_q4_0")
    return {
        "params": params(arch, vocab_size),
        "embedding_share": round(float(embedding_share(arch, vocab_size)), 6),
        "flops_per_token": int(flops_per_token(arch, vocab_size, context)),
        "kv_bytes_per_token": int(kv_bytes_per_token(arch)),
        "weight_bytes": {scheme: int(weight_bytes(arch, vocab_size, scheme)) for scheme in schemes},
    }
