"""The decoders that ``calibrate`` measures: small ones by operator shape to fit on, whole ones to validate on."""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketlm.config import Architecture, ConfigError

ACTIVATIONS = ("silu", "relu", "relu2", "gelu")


class Variant(NamedTuple):
    """What is varied at one width. ``kv_share`` is lowered to a divisor of the heads."""

    n_layers: int
    ffn_ratio: float
    activation: str
    gated: bool
    kv_share: int
    head_dim: int
    vocab_size: int
    sharing: int = 1


# Depth, feed-forward, activation, key/value heads, head size and vocabulary change independently enough for a fit.
FIT = (
    Variant(1, 1.0, "silu", True, 1, 16, 256),
    Variant(3, 3.0, "silu", True, 2, 16, 512),
    Variant(2, 4.0, "relu", False, 1, 32, 2048),
    Variant(4, 1.5, "relu", True, 4, 16, 256),
    Variant(1, 3.0, "gelu", False, 2, 32, 1024),
    Variant(2, 2.0, "relu2", False, 1, 16, 512),
    Variant(2, 1.5, "silu", False, 4, 32, 256, 2),
    Variant(1, 4.0, "relu", True, 1, 16, 1024, 2),
)
# Whole models, at widths between the measured ones and deeper than any that was fitted on.
WHOLE = (
    Variant(6, 2.5, "silu", True, 2, 16, 768),
    Variant(10, 1.5, "silu", True, 4, 16, 768),
    Variant(5, 3.0, "relu", True, 1, 32, 1024),
    Variant(8, 3.5, "relu", False, 2, 16, 512),
    Variant(12, 2.0, "silu", True, 1, 16, 768),
    Variant(5, 2.0, "silu", True, 2, 16, 768, 2),
)


def architecture(d_model: int, variant: Variant, max_seq_len: int) -> Architecture:
    """The architecture of a variant at a width that its head size divides."""
    n_heads = d_model // variant.head_dim
    share = max(k for k in range(1, variant.kv_share + 1) if n_heads % k == 0)
    return Architecture(
        n_layers=variant.n_layers,
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads // share,
        head_dim=variant.head_dim,
        d_ff=max(8, round(d_model * variant.ffn_ratio / 8) * 8),
        activation=variant.activation,
        gated=variant.gated,
        sharing=variant.sharing,
        max_seq_len=max_seq_len,
    )


def fitting(widths: list[int], max_seq_len: int) -> list[tuple[Architecture, int]]:
    """(architecture, vocabulary) of the models that the predictor is fitted on."""
    if len(widths) < 2 or any(width < 32 or width % 16 for width in widths):
        raise ConfigError(f"devices: calibration={widths}: give at least two widths, each a multiple of 16 and >= 32")
    chosen = [(w, v if w % v.head_dim == 0 else v._replace(head_dim=16)) for w in widths for v in FIT]
    return [(architecture(width, variant, max_seq_len), variant.vocab_size) for width, variant in chosen]


def whole(widths: list[int], max_seq_len: int, most_params: float = 4e6) -> list[tuple[Architecture, int]]:
    """(architecture, vocabulary) of the models that the predictor is validated on; huge ones are left out."""
    from pocketlm.model import counts

    found: list[tuple[Architecture, int]] = []
    between = [round((a + b) / 2 / 32) * 32 for a, b in zip(widths, widths[1:])]
    for number, variant in enumerate(WHOLE):
        width = between[number % len(between)]
        arch = architecture(width, variant, max_seq_len)
        if counts.params(arch, variant.vocab_size) <= most_params:
            found.append((arch, variant.vocab_size))
    return found


def as_point(arch: Architecture, vocab_size: int) -> dict[str, Any]:
    """The fields of an architecture that its speed depends on."""
    names = (
        "n_layers",
        "d_model",
        "n_heads",
        "n_kv_heads",
        "head_dim",
        "d_ff",
        "activation",
        "gated",
        "tied",
        "sharing",
    )
    return {name: getattr(arch, name) for name in names} | {"vocab_size": vocab_size}
