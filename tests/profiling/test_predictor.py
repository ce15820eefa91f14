"""The predictor recovers a synthetic truth; its solver agrees with scipy's; measurements of the runtime have sense."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlm.artifacts import ArtifactError, canonical, write_json
from pocketlm.config import Architecture, ConfigError, Device
from pocketlm.profiling import shapes
from pocketlm.profiling.predictor import Predictor, columns, nnls

WIDTHS = [48, 96, 192, 384]


def truth(arch: Architecture, vocab: int, tokens: float, seen: float) -> float:
    """Milliseconds of an imagined machine, written out without the predictor's features."""
    kv = arch.n_kv_heads * arch.head_dim
    per_block = (
        arch.d_model * (2 * arch.n_heads * arch.head_dim + 2 * kv) + (3 if arch.gated else 2) * arch.d_model * arch.d_ff
    )
    act = {"silu": 4e-6, "relu": 1e-6, "relu2": 2e-6, "gelu": 8e-6}[arch.activation]
    block = 0.08 + (0.01 if arch.gated else 0) + 4e-8 * per_block * (1 if tokens == 1 else 1 + 3 * tokens)
    block += act * arch.d_ff * tokens + 2e-7 * arch.n_heads * arch.head_dim * seen
    return 0.05 + arch.n_layers * arch.sharing * block + 1e-7 * vocab * arch.d_model


def synthetic(noise: float = 0.0) -> dict:
    rng = np.random.default_rng(0)
    points = []
    for role, found in (("fit", shapes.fitting(WIDTHS, 128)), ("validate", shapes.whole(WIDTHS, 128))):
        for arch, vocab in found:
            wobble = lambda: float(np.exp(noise * rng.standard_normal()))  # noqa: E731
            prefill = [{"prompt": p, "ms_median": wobble() * truth(arch, vocab, p, p * p)} for p in (32, 128)]
            decode = [{"depth": d, "ms_median": wobble() * truth(arch, vocab, 1, d + 3.5)} for d in (0, 96)]
            points.append({"role": role, "arch": shapes.as_point(arch, vocab), "prefill": prefill, "decode": decode})
    return {"device": "x", "device_id": "y", "new_tokens": 8, "points": points}


def test_recovers_a_synthetic_truth() -> None:
    predictor = Predictor.fitted(synthetic())
    for phase in ("prefill", "decode"):
        assert predictor.about["validation"][phase]["max_percent"] < 0.5
        assert all(value >= 0 for value in predictor.coefficients[phase].values())
    arch = Architecture(n_layers=30, d_model=576, n_heads=9, n_kv_heads=3, head_dim=64, d_ff=1536)  # far outside
    got = predictor.predict(columns([shapes.as_point(arch, 32000)]), 200.0, "decode")[0]
    assert got == pytest.approx(truth(arch, 32000, 1, 200), rel=0.02)


def test_noise_of_five_percent_stays_below_it() -> None:
    found = Predictor.fitted(synthetic(0.05)).about["validation"]
    assert found["decode"]["median_percent"] < 8 and found["prefill"]["median_percent"] < 8


def test_nnls_agrees_with_scipy() -> None:
    from scipy import optimize

    rng = np.random.default_rng(1)
    for _ in range(30):
        a, b = rng.standard_normal((20, 8)), rng.standard_normal(20)
        np.testing.assert_allclose(nnls(a, b), optimize.nnls(a, b)[0], atol=1e-8)


def test_saved_and_loaded_predicts_the_same_and_bytes_are_stable(tmp_path) -> None:
    predictor = Predictor.fitted(synthetic())
    write_json(tmp_path / "predictor.json", predictor.as_dict())
    assert canonical(Predictor.fitted(synthetic()).as_dict()) == (tmp_path / "predictor.json").read_text()
    point = columns([shapes.as_point(*shapes.whole(WIDTHS, 64)[0])])
    again = Predictor.load(tmp_path / "predictor.json").predict(point, 64.0, "prefill")
    assert again == predictor.predict(point, 64.0, "prefill")


def test_too_few_points_and_impossible_widths_are_refused() -> None:
    few = synthetic()
    few["points"] = few["points"][:2]
    with pytest.raises(ArtifactError, match="calibrate again"):
        Predictor.fitted(few)
    with pytest.raises(ConfigError, match="multiple of 16"):
        shapes.fitting([50, 96], 64)


def test_whole_models_are_not_among_the_fitted() -> None:
    for widths in (WIDTHS, [32, 64]):
        fitted = [shapes.as_point(*pair) for pair in shapes.fitting(widths, 64)]
        whole = [shapes.as_point(*pair) for pair in shapes.whole(widths, 64)]
        assert len(whole) >= 4 and all(point not in fitted for point in whole)


def test_calibrate_and_profile_a_small_machine() -> None:
    from pocketlm.profiling.calibration import calibrate
    from pocketlm.profiling.profile import profile

    entry = Device(calibration=[32, 48], repeats=2, prompts=[8], depths=[0, 4], new_tokens=2, quiet_seconds=0.0)
    calibration = calibrate("local", entry, "fp32", 0.0)
    assert {row["role"] for row in calibration["points"]} == {"fit", "validate"}
    assert Predictor.fitted(calibration).about["validation"]["decode"]["n"] > 0
    models = {"thin": (Architecture(n_layers=6, d_model=32, n_heads=2, n_kv_heads=1, head_dim=16, d_ff=64), 256)}
    found = profile("local", entry, models, ["torch", "llamacpp"], "fp32")
    (row,) = found["rows"]
    assert [p["prompt"] for p in row["prefill"]] == [8] and [d["depth"] for d in row["decode"]] == [0, 4]
    assert row["decode"][0]["tok_s"] > 0 and row["load_ms"] > 0 and row["peak_mib"] > 10
    assert row["file_bytes"] > 2 * 6 * 32 * 32 and row["device_id"] == calibration["device_id"]
    assert (row["joules_per_token"] is None) == ("RAPL" in row["joules_why"] and "whole" not in row["joules_why"])
    assert found["left_out"][0]["runtime"] == "llamacpp"
