"""Rounding, GPTQ and group sizes against direct formulations."""

import pytest
import torch

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.quantization import gptq, scales, schemes


def test_int8_scale_is_the_largest_magnitude_of_each_row():
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    values, scale = scales.round_to_nearest(weight, 8, None)
    assert scale.shape == (8, 1)
    torch.testing.assert_close(scale[:, 0], (weight.abs().amax(1) / 127).bfloat16().float())
    assert ((values - weight).abs() <= scale / 2 + weight.abs().amax(1, keepdim=True) * 2**-8).all()


def test_int4_is_never_worse_than_min_max_and_stays_on_the_grid():
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(1))
    values, scale = scales.round_to_nearest(weight, 4, 32)
    grouped = weight.unflatten(-1, (-1, 32))
    simple = grouped.abs().amax(-1, keepdim=True) / 7
    plain = torch.round(grouped / simple).clamp(-8, 7) * simple
    error = (values.unflatten(-1, (-1, 32)) - grouped).square().sum(-1)
    assert error.sum() < 0.9 * (plain - grouped).square().sum()
    steps = values.unflatten(-1, (-1, 32)) / scale[..., None]
    assert (steps - steps.round()).abs().max() < 1e-4
    assert steps.min() >= -8.001 and steps.max() <= 7.001


def test_gptq_loses_less_output_than_rounding():
    generator = torch.Generator().manual_seed(2)
    mix = torch.randn(64, 64, generator=generator)
    inputs = torch.randn(512, 64, generator=generator) @ mix  # correlated
    weight = torch.randn(32, 64, generator=generator)
    rounded, _ = scales.round_to_nearest(weight, 4, 32)
    better, scale = gptq.gptq(weight, inputs.T @ inputs, 4, 32)
    assert scale.shape == (32, 2)
    loss = [(inputs @ (w - weight).T).square().sum() for w in (better, rounded)]
    assert loss[0] < 0.7 * loss[1]


def test_gptq_with_white_inputs_is_rounding():
    weight = torch.randn(4, 32, generator=torch.Generator().manual_seed(3))
    better, _ = gptq.gptq(weight, torch.eye(32), 4, 32)
    torch.testing.assert_close(better, scales.round_to_nearest(weight, 4, 32)[0])


@pytest.mark.parametrize(("width", "size"), [(64, 32), (176, 22), (340, 20), (128, 32), (31, 31), (37, 0), (6, 0)])
def test_group_size(width, size):
    assert schemes.group_size(width, 32) == size


def test_unpacked_int4_is_refused():
    schemes.check_packed("int4", 65, 100, "x")
    with pytest.raises(ArtifactError, match=r"int4 takes 1\.00 bytes"):
        schemes.check_packed("int4", 100, 100, "x")


def test_unknown_scheme():
    with pytest.raises(ConfigError, match="use one of bf16, int8"):
        schemes.scheme("int3")
