"""Read any deployment folder back into a decoder with fp32 weights: the artefact itself is what is scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.quantization.scales import limits
from pocketlm.quantization.schemes import scheme

if TYPE_CHECKING:
    from pocketlm.model.decoder import Decoder

Loaded = tuple["Decoder", Any, dict[str, Any]]


def load(folder: str | Path) -> Loaded:
    """(decoder, architecture, contents of pocketlm.json). Raises ArtifactError for what is no deployment folder."""
    from pocketlm.model.folder import load_model

    folder = Path(folder)
    about = read_json(folder / "pocketlm.json")
    container = scheme(about.get("scheme", "bf16")).container
    if container == "hf":
        return load_model(folder)
    if container == "gguf":
        from pocketlm.quantization.gguf_read import load_gguf

        return load_gguf(folder, about)
    return load_compressed(folder, about)


def load_compressed(folder: Path, about: dict[str, Any]) -> Loaded:
    """A compressed-tensors folder: integers times scales; w8a8 rounds activations while it runs."""
    from pocketlm.quantization.modules import linears

    state = dequantised(folder)
    decoder, architecture = build(state, about, folder)
    if scheme(about["scheme"]).activations:
        modules = linears(decoder)
        for name in quantized_modules(folder):
            modules[name].register_forward_pre_hook(_round_inputs)
    return decoder, architecture, about


def build(state: dict[str, torch.Tensor], about: dict[str, Any], folder: Path, **changes: Any) -> tuple[Decoder, Any]:
    """A decoder in evaluation mode with these weights; ``changes`` replace fields of the stored architecture."""
    import dataclasses

    from pocketlm.model import folder as model_folder
    from pocketlm.model.state import check_state, expected_shapes

    architecture = dataclasses.replace(model_folder.architecture_of(about), **changes)
    check_state(state, expected_shapes(architecture, about["vocab_size"]), str(folder))
    return model_folder.build(state, architecture, about["vocab_size"], torch.float32, "cpu"), architecture


def quantized_modules(folder: Path) -> list[str]:
    """Names of the modules that are stored as integers."""
    from pocketlm.quantization.sizes import tensor_bytes

    names = tensor_bytes(folder / "model.safetensors")
    return sorted(n.removesuffix(".weight_scale") for n in names if n.endswith(".weight_scale"))


def dequantised(folder: Path) -> dict[str, torch.Tensor]:
    """{parameter name: fp32 weight} of a compressed-tensors folder. Raises ArtifactError naming what is damaged."""
    from pocketlm.model.folder import read_tensors

    stored = read_tensors(folder)
    bits = scheme(read_json(folder / "pocketlm.json")["scheme"]).bits
    state = {n: t.float() for n, t in stored.items() if not n.rsplit(".", 1)[-1].startswith("weight_")}
    for name in quantized_modules(folder):
        try:
            state[f"{name}.weight"] = weight_of(name, stored, bits)
        except (KeyError, RuntimeError) as error:
            file = folder / "model.safetensors"
            raise ArtifactError(f"{file}: the parts of {name} do not fit ({error}); make it again") from None
    return state


def weight_of(name: str, stored: dict[str, torch.Tensor], bits: int) -> torch.Tensor:
    """The fp32 weight [out, in] of a module: its integers times the scales [out, groups]."""
    scales = stored[f"{name}.weight_scale"].float()
    if f"{name}.weight_packed" in stored:
        columns = int(stored[f"{name}.weight_shape"][1])
        integers = unpack(stored[f"{name}.weight_packed"], bits)[:, :columns]
    else:
        integers = stored[f"{name}.weight"]
    grouped = integers.float().unflatten(-1, (scales.shape[-1], -1))
    return (grouped * scales[..., None]).flatten(-2)


def unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Integers [out, words * 32 / bits] of ``pack-quantized`` words [out, words]: little end first, offset binary."""
    data = packed.contiguous().view(torch.uint8)
    if bits == 4:
        data = torch.stack((data & 15, data >> 4), -1).flatten(-2)
    return data.to(torch.int16) + limits(bits)[0]


def _round_inputs(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Each token's activations as 8-bit integers times their own scale (min-max, symmetric, dynamic)."""
    values = inputs[0]
    scale = values.abs().amax(-1, keepdim=True) / 127.5
    scale = torch.where(scale == 0, torch.full_like(scale, torch.finfo(scale.dtype).eps), scale)
    low, high = limits(8)
    return (torch.round(values / scale).clamp(low, high) * scale, *inputs[1:])
