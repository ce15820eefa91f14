"""GPTQ (Frantar et al., arXiv 2210.17323): round column by column, move each error into the columns not yet rounded.

Layer by layer on the calibration tokens, so that each layer sees the inputs that the rounded layers before it produce.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pocketlm.quantization.scales import least_squares, quantized

DAMPING = 0.01  # of the mean diagonal


def gptq(weight: torch.Tensor, hessian: torch.Tensor, bits: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(dequantised [out, in], scales [out, groups]) of ``weight`` under inputs with ``hessian`` = X^T X [in, in]."""
    work, inverse = weight.double().clone(), _inverse_factor(hessian)
    result, scales = torch.zeros_like(work), []
    for start in range(0, work.shape[1], size):
        stop = start + size
        scale = least_squares(work[:, start:stop].float(), bits).double()
        scales.append(scale)
        for column in range(start, stop):
            row = inverse[column]
            result[:, column : column + 1] = quantized(work[:, column : column + 1], scale, bits) * scale
            error = (work[:, column] - result[:, column]) / row[column]
            work[:, column + 1 :] -= torch.outer(error, row[column + 1 :])
    return result.float(), torch.cat(scales, 1).float()


def _inverse_factor(hessian: torch.Tensor) -> torch.Tensor:
    """Upper Cholesky factor of the inverse of the damped Hessian (Algorithm 1)."""
    damped = hessian.double().clone()
    diagonal = damped.diagonal()
    diagonal[diagonal == 0] = 1.0  # an input that is always 0 carries no error
    diagonal += DAMPING * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)


@contextmanager
def collecting(modules: dict[str, nn.Linear]) -> Iterator[dict[str, torch.Tensor]]:
    """Sum X^T X of the inputs of ``modules`` while the block runs."""
    sums: dict[str, torch.Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def collect(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            rows = inputs[0].detach().flatten(0, -2).float()
            sums[name] = sums.get(name, torch.zeros(())) + rows.T @ rows

        return collect

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in modules.items()]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def quantize_in_order(
    decoder: nn.Module, layers: list[dict[str, nn.Linear]], calibration: torch.Tensor, bits: int, sizes: dict[str, int]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """{module name: (dequantised, scales)} for the modules of each layer in turn; the decoder is changed in place.

    ``calibration``: token ids [N, T].
    """
    done: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for modules in layers:
        with collecting(modules) as hessians:
            for ids in calibration.split(16):
                decoder(ids)
        for name, module in modules.items():
            done[name] = gptq(module.weight, hessians[name], bits, sizes[name])
            module.weight.copy_(done[name][0])
    return done
