"""One claim: what b gains over a, paired by seed, and whether it has the sign that the paper gives it.

Two models of one seed read the same batches in the same order (where their tokenizer is the same) and draw the same
first weights for tensors of the same name and shape, so that much of the luck of a seed cancels in their difference.
The interval is Student's at 95%: with three seeds 4.3 standard errors, so that three lucky seeds prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.scoring.paired import mean_and_error

Row = dict[str, Any]
DIGITS = 6
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # Student, two-sided, 1 .. 30 degrees of freedom  # fmt: skip
SPEEDS = {"decode_tok_s": ("decode", "depth"), "prefill_tok_s": ("prefill", "prompt")}


def student(n: int) -> float:
    """Student's quantile for a 95% interval of n >= 2 pairs; above 31 that of 31, at most 4% too wide."""
    return T95[min(n - 1, len(T95)) - 1]


def paired(a: Sequence[float], b: Sequence[float]) -> Row:
    """Values of both sides, mean(b - a), its standard error (null of one pair), half its 95% interval."""
    changes = [right - left for left, right in zip(a, b, strict=True)]
    mean, stderr = mean_and_error(changes)
    n = len(changes)
    return {
        "a": [round(value, DIGITS) for value in a],
        "b": [round(value, DIGITS) for value in b],
        "difference": round(mean, DIGITS),
        "stderr": round(stderr, DIGITS) if n > 1 else None,
        "half_interval": round(student(n) * stderr, DIGITS) if n > 1 else None,
        "n": n,
    }


def bits_per_byte(metrics: Mapping[str, Row], names: Sequence[str]) -> list[float]:
    """Validation bits per byte of some models. Raises ArtifactError for a training that diverged."""
    found = [metrics[name].get("val_bits_per_byte") for name in names]
    lost = [name for name, value in zip(names, found) if value is None or not math.isfinite(value)]
    if lost:
        raise ArtifactError(
            f"claim: {', '.join(lost)}: no bits per byte; its training diverged or had no held-out text"
        )
    return [float(value) for value in found if value is not None]


def accuracy(rows: Sequence[Row], names: Sequence[str]) -> list[float]:
    """Percent, mean over the multiple-choice tasks (those with a chance level), of the bf16 base phase."""
    means = []
    for name in names:
        own = [
            row["value"]
            for row in rows
            if (row["model"], row["phase"], row["scheme"], row["metric"]) == (name, "base", "bf16", "acc")
            and row.get("chance") is not None
        ]
        if not own:
            raise ArtifactError(f"claim: {name}: no accuracy of its base phase in the scores; score it again")
        means.append(100 * math.fsum(own) / len(own))
    return means


def speed(facts: Sequence[Row], names: Sequence[str], metric: str) -> tuple[list[float], list[float]]:
    """(tokens/s, relative interquartile range) of some models, at the greatest depth or prompt that was measured."""
    kind, position = SPEEDS[metric]
    rates, spreads = [], []
    for name in names:
        rows = [row for row in facts if row["model"] == name and row["runtime"] == "torch"]
        if not rows:
            raise ArtifactError(f"claim: {name}: not in the profile; measure it again")
        measured = max(rows[0][kind], key=lambda row: row[position])
        rates.append(float(measured["tok_s"]))
        spreads.append(float(measured["ms_iqr"]) / float(measured["ms_median"]))
    return rates, spreads


def ratio(facts: Sequence[Row], a: Sequence[str], b: Sequence[str], metric: str) -> Row:
    """How many times faster b is than a; the spread of interleaved repeats stands in for a standard error.

    Speed does not depend on weights, so that one measurement stands for all seeds.
    """
    (left, noise), (right, more) = speed(facts, a, metric), speed(facts, b, metric)
    factor = math.fsum(right) / math.fsum(left)
    spread = factor * math.hypot(max(noise), max(more))
    return {
        "a": left,
        "b": right,
        "difference": round(factor - 1, DIGITS),
        "stderr": round(spread, DIGITS),
        "half_interval": round(spread, DIGITS),
        "n": len(right),
    }


def verdict(gain: float, half: float | None, better: bool) -> str:
    """``same sign``, ``other sign``, or ``not resolved`` where the interval holds 0 or there is one pair only."""
    if half is None or abs(gain) <= half:
        return "not resolved"
    return "same sign" if (gain > 0) == better else "other sign"


def compare(claim: Row, metrics: Mapping[str, Row], rows: Sequence[Row], facts: Sequence[Row]) -> Row:
    """The result of a claim (an entry of ``claims``): what is published, ours, and whether the signs agree.

    ``gain`` is positive where b is better: bits per byte that it saves, or how much faster it is (0.2: 1.2 times).
    """
    a, b = claim["a"], claim["b"]
    if claim["metric"] in SPEEDS:
        main = ratio(facts, a, b, claim["metric"])
        gain = main["difference"]
    else:
        main = paired(bits_per_byte(metrics, a), bits_per_byte(metrics, b))
        gain = -main["difference"]
    second = paired(accuracy(rows, a), accuracy(rows, b)) if claim["suite"] else None
    sizes = {side: metrics[claim[side][0]]["params"] for side in ("a", "b")} if metrics else None
    return {
        **claim,
        "params": sizes,
        "main": main,
        "accuracy": second,
        "gain": gain + 0.0,
        "verdict": verdict(gain, main["half_interval"], claim["better"]),
    }
