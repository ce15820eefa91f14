"""Write a packed int8, int4 or w8a8 folder in the compressed-tensors format (vLLM's), which transformers loads too.

The compressed-tensors library quantizes, packs and writes the description; the scales are ours (``scales``, ``gptq``).
Embeddings, the output head and the norms stay bf16: on a small model they decide most, and they are counted apart.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pocketlm.artifacts import ArtifactError, read_json, write_json
from pocketlm.config import Quantization
from pocketlm.quantization.gptq import quantize_in_order
from pocketlm.quantization.modules import by_layer, linears
from pocketlm.quantization.scales import round_to_nearest
from pocketlm.quantization.schemes import activation_arguments, group_size, scheme, weight_arguments

if TYPE_CHECKING:
    from pocketlm.model.decoder import Decoder

GROUPED_FORMAT, ACTIVATION_FORMAT = "pack-quantized", "int-quantized"


def choose_sizes(modules: dict[str, nn.Linear], name: str, wanted: int) -> dict[str, int | None]:
    """{module: group size, None for one scale a row}; a module whose width has no fitting group is not in it."""
    if not scheme(name).grouped:
        return dict.fromkeys(modules)
    sizes: dict[str, int | None] = {n: group_size(m.in_features, wanted) for n, m in modules.items()}
    return {n: size for n, size in sizes.items() if size}


def compress(source: Path, out: Path, name: str, settings: Quantization, calibration: torch.Tensor | None) -> list[str]:
    """Write the folder ``out`` (which exists) from the bf16 model folder ``source``; returns what stayed bf16.

    ``calibration``: token ids [N, T] for GPTQ. Raises ArtifactError where GPTQ has none.
    """
    from pocketlm.model.folder import load_model

    decoder = load_model(source)[0]
    modules = linears(decoder)
    sizes = choose_sizes(modules, name, settings.group_size)
    values = _values(decoder, modules, sizes, name, settings.method, calibration)
    state = _untouched(source, sizes)
    for group, members in _groups(sizes).items():
        for module in members:
            state |= _packed(module, *values[module], name=name, size=group)
    kept = [n for n in modules if n not in sizes]
    _write(source, out, state, _description(name, sizes, [*kept, "lm_head"]), name)
    return kept


def _values(
    decoder: Decoder, modules: dict[str, nn.Linear], sizes: dict[str, int | None], name: str, method: str,
    calibration: torch.Tensor | None,
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:  # fmt: skip
    """{module: (dequantised [out, in], scales [out, groups])}"""
    bits = scheme(name).bits
    if bits == 8 or method == "rtn":
        return {n: round_to_nearest(modules[n].weight.detach(), bits, size) for n, size in sizes.items()}
    if calibration is None:
        raise ArtifactError("quantization.method=gptq needs calibration tokens: pass --tokens, or use method=rtn")
    layers = [{n: modules[n] for n in names} for names in by_layer(sizes)]
    return quantize_in_order(decoder, layers, calibration, bits, {n: size or 0 for n, size in sizes.items()})


def _groups(sizes: dict[str, int | None]) -> dict[int | None, list[str]]:
    groups: dict[int | None, list[str]] = {}
    for module, size in sizes.items():
        groups.setdefault(size, []).append(module)
    return groups


def _schemes(name: str, size: int | None, targets: list[str]) -> Any:
    from compressed_tensors.quantization import QuantizationScheme

    return QuantizationScheme(
        targets=targets, weights=weight_arguments(name, size), input_activations=activation_arguments(name),
        format=ACTIVATION_FORMAT if scheme(name).activations else GROUPED_FORMAT,
    )  # fmt: skip


def _packed(
    module: str, weight: torch.Tensor, scales: torch.Tensor, name: str, size: int | None
) -> dict[str, torch.Tensor]:
    """The stored tensors of one module, quantized and packed by the library."""
    from compressed_tensors.compressors import BaseCompressor

    quantization = _schemes(name, size, ["Linear"])
    compressor = BaseCompressor.get_value_from_registry(quantization.format)
    stored = compressor.compress({"weight": weight, "weight_scale": scales}, quantization)
    stored["weight_scale"] = stored["weight_scale"].to(torch.bfloat16)
    return {f"{module}.{key}": tensor.contiguous() for key, tensor in stored.items()}


def _untouched(source: Path, sizes: dict[str, int | None]) -> dict[str, torch.Tensor]:
    from pocketlm.model.folder import read_tensors

    replaced = {f"{module}.weight" for module in sizes}
    return {n: t for n, t in read_tensors(source).items() if n not in replaced}


def _description(name: str, sizes: dict[str, int | None], ignored: list[str]) -> dict[str, Any]:
    """``quantization_config`` of config.json; with one group size for all, the target is simply every Linear."""
    from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus

    groups = _groups(sizes)
    config = QuantizationConfig(
        config_groups={
            f"group_{i}": _schemes(name, size, ["Linear"] if len(groups) == 1 else members)
            for i, (size, members) in enumerate(groups.items())
        },
        format=ACTIVATION_FORMAT if scheme(name).activations else GROUPED_FORMAT,
        quantization_status=QuantizationStatus.COMPRESSED,
        ignore=ignored,
    )
    return config.model_dump(mode="json", exclude_none=True)


def _write(source: Path, out: Path, state: dict[str, torch.Tensor], description: dict[str, Any], name: str) -> None:
    from safetensors.torch import save_file

    for file in sorted(source.iterdir()):
        if file.suffix in (".json", ".jinja", ".py", ".txt", ".model") and file.is_file():
            shutil.copyfile(file, out / file.name)
    write_json(out / "config.json", read_json(source / "config.json") | {"quantization_config": description})
    write_json(out / "pocketlm.json", read_json(source / "pocketlm.json") | {"scheme": name})
    save_file(dict(sorted(state.items())), out / "model.safetensors", metadata={"format": "pt"})
