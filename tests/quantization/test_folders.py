"""Packed folders against stock transformers and the compressed-tensors library."""

import pytest
import torch

from pocketlm.artifacts import ArtifactError, members, read_json
from pocketlm.config import Quantization
from pocketlm.quantization import compress, load_deployed, load_quantized, sizes


@pytest.fixture(scope="module")
def packed(folder, untied, tmp_path_factory):
    """{(model, scheme): folder}"""
    made = {}
    for model, source in (("tied", folder), ("untied", untied)):
        for scheme in ("int8", "int4", "w8a8"):
            out = made[model, scheme] = tmp_path_factory.mktemp("deploy")
            assert compress.compress(source, out, scheme, Quantization(), None) == []
    return made


def reference(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


IDS = torch.randint(6, 320, (2, 24), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scheme", ["int8", "int4"])
@pytest.mark.parametrize("model", ["tied", "untied"])
@torch.no_grad()
def test_stock_transformers_computes_the_same(packed, model, scheme):
    ours = load_quantized(packed[model, scheme])
    torch.testing.assert_close(
        ours.logits(ours(IDS)), reference(packed[model, scheme])(IDS).logits, atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_w8a8_rounds_activations_as_the_library_does(packed):
    """Layer by layer exact; in a whole model a token's largest value lies on a tie, so that the mean is compared."""
    ours, theirs = load_quantized(packed["tied", "w8a8"]), reference(packed["tied", "w8a8"])
    theirs(IDS)
    modules = dict(theirs.named_modules())
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
    for name, module in list(compress.linears(ours).items())[:3]:
        torch.testing.assert_close(module(x), modules[name](x))
    plain = load_quantized(packed["tied", "int8"])
    exact, rounded, want = plain.logits(plain(IDS)), ours.logits(ours(IDS)), theirs(IDS).logits
    assert (rounded - exact).abs().mean() > 1e-3
    assert (rounded - want).abs().mean() < 0.5 * (rounded - exact).abs().mean()


@torch.no_grad()
def test_quantized_is_close_to_bf16(packed, folder):
    full = load_quantized(folder)
    want = full.logits(full(IDS))
    for scheme, limit in (("int8", 0.03), ("w8a8", 0.06), ("int4", 0.4)):
        ours = load_quantized(packed["tied", scheme])
        assert (ours.logits(ours(IDS)) - want).std() < limit * want.std(), scheme


def test_sizes_from_the_shapes(packed, folder):
    """64-wide, 2 layers: attention 2 x (64 x 64 + 32 x 64), FFN 3 x 64 x 160; scales are bf16, shapes two int64."""
    weights, rows = 2 * (2 * (64 * 64 + 32 * 64) + 3 * 64 * 160), 2 * (64 + 32 + 32 + 64 + 160 + 160 + 64)
    found = {scheme: sizes.measure(packed["tied", scheme]) for scheme in ("int8", "int4")}
    assert found["int8"]["linear_bytes"] == weights + 2 * rows + 14 * 16
    assert found["int4"]["linear_bytes"] == weights // 2 + 2 * weights // 32 + 14 * 16
    assert found["int4"]["linear_bytes"] <= 0.65 * found["int8"]["linear_bytes"]
    assert found["int4"]["embedding_bytes"] == 320 * 64 * 2 == sizes.measure(folder)["embedding_bytes"]
    assert sizes.measure(folder)["linear_bytes"] == 2 * weights
    assert found["int4"]["other_bytes"] == 5 * 64 * 2


def test_odd_width_gets_the_largest_group_that_divides_it(packed):
    groups = read_json(packed["untied", "int4"] / "config.json")["quantization_config"]["config_groups"]
    assert sorted(group["weights"]["group_size"] for group in groups.values()) == [22, 32]


def test_same_bytes_each_time(folder, packed, tmp_path):
    compress.compress(folder, tmp_path, "int4", Quantization(), None)
    assert members(tmp_path) == members(packed["tied", "int4"])


@torch.no_grad()
def test_gptq_is_closer_on_its_calibration_data(folder, packed, tmp_path):
    data = torch.randint(6, 320, (32, 48), generator=torch.Generator().manual_seed(5))
    compress.compress(folder, tmp_path, "int4", Quantization(method="gptq"), data)
    full, better, rounded = (load_quantized(f) for f in (folder, tmp_path, packed["tied", "int4"]))
    want = full(data)
    assert (better(data) - want).square().sum() < 0.9 * (rounded(data) - want).square().sum()
    with pytest.raises(ArtifactError, match="needs calibration tokens"):
        compress.compress(folder, tmp_path, "int4", Quantization(method="gptq"), None)


@pytest.mark.parametrize("changes", [{"gated": False, "activation": "relu2"}, {"sharing": 2}, {"rope_int8": True}])
@torch.no_grad()
def test_architectures_that_are_no_llama(tmp_path, changes):
    """Their folders carry their own code and load with trust_remote_code, packed ones too."""
    from llama_folder import ARCHITECTURE
    from transformers import AutoModelForCausalLM

    from pocketlm.config import Architecture
    from pocketlm.model.decoder import Decoder
    from pocketlm.model.folder import save_model

    architecture = Architecture(**(ARCHITECTURE | {"init_std": 0.15} | changes))
    save_model(Decoder(architecture, 320).state_dict(), architecture, 320, None, tmp_path / "base", "base")
    (tmp_path / "int4").mkdir()
    compress.compress(tmp_path / "base", tmp_path / "int4", "int4", Quantization(), None)
    ours, again, about = load_deployed(tmp_path / "int4")
    assert (again.sharing, about["scheme"]) == (architecture.sharing, "int4")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "int4", trust_remote_code=True, dtype=torch.float32).eval()
    torch.testing.assert_close(ours.logits(ours(IDS)), model(IDS).logits, atol=1e-4, rtol=1e-4)
