"""Which decoders llama.cpp can run, and in which of its number formats: said once, for compose, checks and quantize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketlm.config import Architecture

Q4_GROUP = 32  # weights that share a scale in q4_0: a row must divide by it
OPTIONS = ("activation", "gated", "rope_int8", "series", "shortcuts")


def widths(arch: Architecture) -> tuple[int, ...]:
    """Row lengths of a block's matrices."""
    return arch.d_model, arch.d_ff, arch.n_heads * arch.head_dim


def refusal(values: Mapping[str, Sequence[Any]]) -> str | None:
    """Why llama.cpp can run none of the decoders with these possible values of OPTIONS; None if it can run one.

    Its llama graph has a SiLU-gated FFN and plain RoPE. Shared blocks are written once for each execution.
    """
    if "silu" not in values["activation"]:
        return f"llama.cpp's llama graph has no {'/'.join(values['activation'])} activation"
    if True not in values["gated"]:
        return "llama.cpp's llama graph has no plain FFN"
    if False not in values["rope_int8"]:
        return "llama.cpp has no int8-rounded RoPE"
    if 0 not in values["series"]:
        return "llama.cpp has no series activation"
    if 0 not in values["shortcuts"]:
        return "llama.cpp has no augmented shortcuts"
    return None


def unsupported(arch: Architecture, scheme: str) -> str | None:
    """Why a decoder cannot be deployed in a GGUF scheme; None if it can."""
    reason = refusal({option: [getattr(arch, option)] for option in OPTIONS})
    odd = [width for width in widths(arch) if width % Q4_GROUP]
    if reason is None and scheme == "gguf_q4_0" and odd:
        return f"q4_0 packs groups of {Q4_GROUP} weights, which do not divide a row of {odd[0]}"
    return reason
