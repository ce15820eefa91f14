"""What each number format means: bits, strategy, container. One table that quantize, load and the sizes read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError

MIN_GROUP = 16  # a smaller group would spend more on scales than it gains; such a matrix stays bf16
INT4_LIMIT = 0.65  # int4 linear bytes / int8 linear bytes: stored packed, or it is refused


@dataclass(frozen=True)
class Scheme:
    """``bits`` of a linear weight; ``grouped`` scales or one a row; ``activations`` quantized too; its container."""

    bits: int
    container: str  # hf (the model folder) | compressed (compressed-tensors) | gguf
    grouped: bool = False
    activations: bool = False


SCHEMES = {
    "bf16": Scheme(16, "hf"),
    "int8": Scheme(8, "compressed"),
    "w8a8": Scheme(8, "compressed", activations=True),
    "int4": Scheme(4, "compressed", grouped=True),
    "gguf_q8_0": Scheme(8, "gguf", grouped=True),
    "gguf_q4_0": Scheme(4, "gguf", grouped=True),
}


def scheme(name: str) -> Scheme:
    """The scheme of that name. Raises ConfigError with the known names."""
    if name not in SCHEMES:
        raise ConfigError(f"scheme={name}: unknown; use one of {', '.join(SCHEMES)}")
    return SCHEMES[name]


def group_size(in_features: int, wanted: int) -> int:
    """The largest divisor of ``in_features`` not above ``wanted``; 0 where that is below ``MIN_GROUP``."""
    best = max(size for size in range(1, min(wanted, in_features) + 1) if in_features % size == 0)
    return best if best >= MIN_GROUP else 0


def weight_arguments(name: str, size: int | None) -> dict[str, Any]:
    """compressed-tensors' ``weights`` of a config group; ``size`` is the group size, None for one scale a row."""
    spec = scheme(name)
    strategy = {"strategy": "group", "group_size": size} if size else {"strategy": "channel"}
    return {"num_bits": spec.bits, "type": "int", "symmetric": True, **strategy}


def activation_arguments(name: str) -> dict[str, Any] | None:
    """compressed-tensors' ``input_activations``: per token, min-max, dynamic (MobileLLM, LLM-QAT), or None."""
    if not scheme(name).activations:
        return None
    return {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


def check_packed(name: str, linear_bytes: int, elements: int, folder: str) -> None:
    """Raise ArtifactError where int4 is not stored packed: above 0.65 bytes a weight (int8 takes at least 1)."""
    if scheme(name).bits == 4 and linear_bytes > INT4_LIMIT * elements:
        raise ArtifactError(
            f"{folder}: {name} takes {linear_bytes / elements:.2f} bytes a linear weight, more than {INT4_LIMIT}; "
            "raise quantization.group_size, or make the model's widths multiples of 32"
        )
