"""Read our GGUF files back: dequantised weights under Hugging Face's names, every written block its own layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pocketlm.artifacts import ArtifactError
from pocketlm.quantization.gguf_names import LAYER, OUTER

if TYPE_CHECKING:
    from pocketlm.model.decoder import Decoder


def load_gguf(folder: Path, about: dict[str, Any]) -> tuple[Decoder, Any, dict[str, Any]]:
    """(decoder, architecture with shared blocks written out, contents of pocketlm.json)."""
    from pocketlm.quantization.load import build

    stored = about["architecture"]
    state = {name: torch.from_numpy(value) for name, value in weights(folder / "model.gguf").items()}
    decoder, architecture = build(state, about, folder, n_layers=stored["n_layers"] * stored["sharing"], sharing=1)
    return decoder, architecture, about


def weights(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """{Hugging Face name: fp32 array}"""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    if not file.is_file():
        raise ArtifactError(f"{file}: no such file; make it with: pocketlm quantize")
    reader = GGUFReader(file)
    heads = {
        "q": int(_value(reader, "llama.attention.head_count")),
        "k": int(_value(reader, "llama.attention.head_count_kv")),
    }
    inner = {v: k for k, v in LAYER.items()}
    outer = {v: k for k, v in OUTER.items()}
    result = {}
    for tensor in reader.tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        stem = tensor.name.removesuffix(".weight")
        if stem in outer:
            result[f"{outer[stem]}.weight"] = values
            continue
        _, number, part = stem.split(".", 2)
        if part in ("attn_q", "attn_k"):
            values = restored(values, heads[part[-1]])
        result[f"model.layers.{number}.{inner[part]}.weight"] = values
    return result


def restored(weight: np.ndarray[Any, Any], n_heads: int) -> np.ndarray[Any, Any]:
    """The inverse of ``gguf_write.permuted``."""
    rows, columns = weight.shape
    return weight.reshape(n_heads, rows // n_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ArtifactError(f"the GGUF file has no {key}; make it again with: pocketlm quantize")
    return field.contents()
