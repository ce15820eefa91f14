"""Small architectures and inputs of the model tests."""

from __future__ import annotations

from typing import Any

import torch

from pocketlm.config import Architecture
from pocketlm.model.decoder import Decoder

VOCAB = 97
SHAPE: dict[str, Any] = {
    "n_layers": 3, "d_model": 48, "n_heads": 4, "n_kv_heads": 2, "head_dim": 12, "d_ff": 80, "init_std": 0.2,
}  # fmt: skip
# every option of the decoder, away from its default
OPTIONS: dict[str, dict[str, Any]] = {
    "llama": {},
    "untied": {"tied": False},
    "mha": {"n_kv_heads": 4},
    "mqa_free_head_dim": {"n_kv_heads": 1, "head_dim": 20},
    "relu": {"activation": "relu"},
    "relu2": {"activation": "relu2"},
    "gelu": {"activation": "gelu"},
    "plain": {"gated": False},
    "plain_relu2": {"gated": False, "activation": "relu2"},
    "shared": {"sharing": 2, "n_layers": 2},
    "rope_int8": {"rope_int8": True},
    "rope_theta": {"rope_theta": 500.0},
    "series": {"series": 2},
    "series_plain_relu": {"series": 3, "gated": False, "activation": "relu"},
    "shortcuts": {"shortcuts": 2, "shortcut_ratio": 8},
    "all": {"sharing": 3, "n_layers": 2, "series": 2, "shortcuts": 1, "rope_int8": True, "activation": "relu"},
}


# a model of each foreign layout, with what only that layout can say
ARCHES: dict[str, dict[str, Any]] = {
    "llama": {"head_dim": 20, "tied": False},
    "mobilellm": {"sharing": 2},
    "phonelm": {"activation": "relu", "rope_int8": True, "n_kv_heads": 4},
}


def make(**options: Any) -> Decoder:
    """A decoder whose parameters are all random, so that no option hides behind its initial value."""
    decoder = Decoder(Architecture(**(SHAPE | options)), VOCAB, seed=3)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if "norm" in name or "series" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return decoder
