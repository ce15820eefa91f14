"""A latency predictor for decoders: physically meant features, non-negative coefficients, relative error.

A step of a small decoder costs an overhead for each block that is executed (interpreter and kernel launches), the
weights that stream through the core, the activations, the attention over the cache, and the output head. Each is a
feature whose coefficient cannot be negative, so that a prediction grows with the model and extrapolates sanely.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketlm import artifacts
from pocketlm.artifacts import ArtifactError
from pocketlm.profiling.shapes import ACTIVATIONS

Floats = NDArray[np.float64]
Phase = Literal["prefill", "decode"]
NUMBERS = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "gated", "sharing", "vocab_size")


def columns(points: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Arrays by field of a list of points (``shapes.as_point``)."""
    found: dict[str, Any] = {name: np.array([float(p[name]) for p in points]) for name in NUMBERS}
    return found | {"activation": np.array([ACTIVATIONS.index(p["activation"]) for p in points])}


def features(c: Mapping[str, Any], length: Any, phase: Phase) -> dict[str, Floats]:
    """The features by name, each [n]. ``length``: the prompt (prefill) or tokens in the cache (decode), in tokens."""
    length = np.asarray(length, dtype=np.float64)
    tokens = length if phase == "prefill" else np.ones_like(length)
    runs = c["n_layers"] * c["sharing"]
    heads, kv = c["n_heads"] * c["head_dim"], c["n_kv_heads"] * c["head_dim"]
    weights = 2 * c["d_model"] * (heads + kv) + c["d_model"] * c["d_ff"] * (2 + c["gated"])
    seen = length * length if phase == "prefill" else length
    one = np.ones_like(runs + tokens)
    found = {
        "step": one,
        "block": runs * one,
        "gate": runs * c["gated"] * one,
        "grouped": runs * (c["n_kv_heads"] < c["n_heads"]) * one,
        "weights": runs * weights * one,
        "head": c["vocab_size"] * c["d_model"] * one,
        "cache": runs * heads * seen,
        "scores": runs * c["n_heads"] * seen,
    }
    if phase == "prefill":
        found |= {
            "matmul": runs * weights * tokens,
            "rows": runs * c["d_model"] * tokens,
            "kernels": runs * c["n_heads"] * tokens,
            "gathered": c["d_model"] * tokens,
        }
    for number, name in enumerate(ACTIVATIONS):
        found[f"act_{name}"] = runs * c["d_ff"] * tokens * (c["activation"] == number)
    return found


def fit(matrix: Floats, target: Floats) -> Floats:
    """Non-negative x that minimises the squared *relative* error of ``matrix @ x`` [n, k] for ``target`` [n] > 0."""
    relative = matrix / target[:, None]
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(nnls(relative / scale, np.ones(len(target))) / scale, dtype=np.float64)


def nnls(a: Floats, b: Floats, tolerance: float = 1e-10) -> Floats:
    """x >= 0 that minimises |a @ x - b|: the active-set method of Lawson and Hanson (1974), chapter 23."""
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], dtype=bool)
    for _ in range(10 * a.shape[1]):
        gradient = a.T @ (b - a @ x)
        gradient[free] = -np.inf
        if gradient.max() <= tolerance:
            return x
        free[int(gradient.argmax())] = True
        while True:
            trial = np.zeros_like(x)
            trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            negative = free & (trial <= 0)
            if not negative.any():
                break
            # go towards the trial until the first coefficient is zero, and hold it there
            step = float(np.min(x[negative] / (x[negative] - trial[negative])))
            x += step * (trial - x)
            free &= x > tolerance
            x[~free] = 0.0
        x = trial
    return x


def table(calibration: Mapping[str, Any], role: str, phase: Phase) -> tuple[list[Any], Floats, Floats]:
    """(points, lengths, milliseconds) of one role and phase, a row for each measured length."""
    key = "prompt" if phase == "prefill" else "depth"
    middle = 0 if phase == "prefill" else (int(calibration.get("new_tokens", 1)) - 1) / 2  # the cache grows meanwhile
    rows = [
        (point["arch"], row[key] + middle, row["ms_median"])
        for point in calibration["points"]
        if point["role"] == role
        for row in point[phase]
    ]
    return (
        [r[0] for r in rows],
        np.array([r[1] for r in rows], dtype=float),
        np.array([r[2] for r in rows], dtype=float),
    )


class Predictor:
    """Milliseconds by formula; ``coefficients`` is {phase: {feature: ms}}."""

    def __init__(self, coefficients: Mapping[str, Mapping[str, float]], about: Mapping[str, Any] | None = None) -> None:
        self.coefficients, self.about = coefficients, dict(about or {})

    @classmethod
    def fitted(cls, calibration: Mapping[str, Any]) -> Predictor:
        """Fit on the calibration's ``fit`` points and validate on its whole models."""
        found: dict[str, dict[str, float]] = {}
        for phase in ("prefill", "decode"):
            points, lengths, ms = table(calibration, "fit", phase)
            if len(points) < 8 or not np.all(np.isfinite(ms) & (ms > 0)):
                raise ArtifactError(
                    f"calibration: {len(points)} usable {phase} points; at least 8 are needed: calibrate again"
                )
            named = features(columns(points), lengths, phase)
            x = fit(np.stack(list(named.values()), axis=1), ms)
            found[phase] = {name: float(f"{value:.9g}") for name, value in zip(named, x, strict=True)}
        about = {key: calibration.get(key) for key in ("device", "device_id", "dtype", "runtime", "threads")}
        predictor = cls(found, about)
        predictor.about["validation"] = {phase: predictor.errors(calibration, phase) for phase in ("prefill", "decode")}
        return predictor

    def predict(self, c: Mapping[str, Any], length: Any, phase: Phase) -> Floats:
        """Milliseconds [n]: of the whole prompt (prefill), or a token behind ``length`` cached ones (decode)."""
        named = features(c, length, phase)
        own = self.coefficients[phase]
        return np.asarray(sum(own[name] * named[name] for name in sorted(own)), dtype=np.float64)

    def errors(self, calibration: Mapping[str, Any], phase: Phase) -> dict[str, Any]:
        """Relative errors in per cent on whole models that were not fitted on; rows of measured and predicted ms."""
        points, lengths, ms = table(calibration, "validate", phase)
        if not points:
            return {"n": 0, "median_percent": None, "max_percent": None, "rows": []}
        got = self.predict(columns(points), lengths, phase)
        error = 100 * (got - ms) / ms
        rows = [
            {"arch": p, "length": n, "measured_ms": m, "predicted_ms": float(f"{g:.6g}")}
            for p, n, m, g in zip(points, lengths.tolist(), ms.tolist(), got.tolist(), strict=True)
        ]
        return {
            "n": len(rows),
            "median_percent": round(float(np.median(np.abs(error))), 3),
            "max_percent": round(float(np.max(np.abs(error))), 3),
            "bias_percent": round(float(np.median(error)), 3),
            "rows": rows,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data of ``predictor.json``."""
        return {"coefficients": self.coefficients, "unit": "ms", **self.about}

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """Read ``predictor.json``."""
        data = artifacts.read_json(path)
        about = {key: value for key, value in data.items() if key not in ("coefficients", "unit")}
        return cls(data["coefficients"], about)
