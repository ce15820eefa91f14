"""Bytes of a deployed artefact, split into embedding, linear and other tensors, read from the file's own header."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from pocketlm.artifacts import read_json
from pocketlm.quantization.schemes import check_packed, scheme

EMBEDDINGS = ("model.embed_tokens.", "lm_head.", "token_embd.", "output.weight")
STORED = (".weight", ".weight_packed", ".weight_scale", ".weight_shape")


def tensor_bytes(file: Path) -> dict[str, tuple[int, int]]:
    """{tensor: (bytes, dimensions)} of a safetensors or GGUF file."""
    if file.suffix == ".gguf":
        from gguf import GGUFReader

        return {t.name: (int(t.n_bytes), sum(d > 1 for d in t.shape)) for t in GGUFReader(file).tensors}
    with file.open("rb") as stream:
        header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    header.pop("__metadata__", None)
    return {n: (v["data_offsets"][1] - v["data_offsets"][0], len(v["shape"])) for n, v in header.items()}


def kind_of(name: str, dimensions: int) -> str:
    """embedding | linear | other"""
    if name.startswith(EMBEDDINGS):
        return "embedding"
    matrix = dimensions > 1 or name.endswith(STORED[1:])
    return "linear" if matrix and "norm" not in name else "other"


def measure(folder: str | Path) -> dict[str, Any]:
    """{scheme, file_bytes, embedding_bytes, linear_bytes, other_bytes}; int4 that is not packed is refused."""
    folder = Path(folder)
    about = read_json(folder / "pocketlm.json")
    name = about.get("scheme", "bf16")
    file = folder / ("model.gguf" if scheme(name).container == "gguf" else "model.safetensors")
    sums = {"embedding": 0, "linear": 0, "other": 0}
    for tensor, (size, dimensions) in tensor_bytes(file).items():
        sums[kind_of(tensor, dimensions)] += size
    copies = about["architecture"]["sharing"] if scheme(name).container == "gguf" else 1
    check_packed(name, sums["linear"], copies * linear_weights(about["architecture"]), str(folder))
    return {"scheme": name, "file_bytes": file.stat().st_size, **{f"{k}_bytes": v for k, v in sums.items()}}


def linear_weights(architecture: dict[str, Any]) -> int:
    """Weights in the linear layers of the stored layers (attention and FFN)."""
    a = architecture
    attention = 2 * a["d_model"] * a["head_dim"] * (a["n_heads"] + a["n_kv_heads"])
    return int(a["n_layers"] * (attention + (3 if a["gated"] else 2) * a["d_model"] * a["d_ff"]))
