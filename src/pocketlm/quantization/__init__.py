"""Quantization: packed int8, int4 and w8a8 folders, GGUF files, and reading them back. Needs torch; no transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pocketlm.model.decoder import Decoder


def load_quantized(folder: str | Path) -> Decoder:
    """The decoder of a deployment folder (any scheme, bf16 too) with dequantised fp32 weights.

    Raises ArtifactError for a folder that is no deployment.
    """
    return load_deployed(folder)[0]


def load_deployed(folder: str | Path) -> tuple[Decoder, Any, dict[str, Any]]:
    """(decoder, architecture, contents of pocketlm.json) of a model or deployment folder."""
    from pocketlm.quantization.load import load

    return load(folder)
