"""The claims as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketlm.claims.compare import SPEEDS

Row = dict[str, Any]
HEADS = ["claim", "paper", "published", "ours", "accuracy, points", "sign", "parameters"]
NUMBERS = {"ours", "accuracy, points", "parameters"}
LEGEND = """\
Ours: validation bits per byte that the second side saves (positive: it is better), or how many times faster it is;
mean over {n} seeds paired by seed, ± standard error. Sign: *not resolved* where Student's 95 % interval holds 0.
A speed is measured once: ± is the interquartile range of its repeats, and its sign is resolved beyond that.
Accuracy: mean over the suite's tasks. Parameters: of the first and second side.
"""


def signed(value: float, digits: int) -> str:
    """``+0.0123``; a true minus, no negative zero."""
    text = f"{value:+.{digits}f}"
    return (f"{0:+.{digits}f}" if float(text) == 0 else text).replace("-", "−")


def with_error(value: float, stderr: float | None, digits: int) -> str:
    """``+0.0123 ± 0.0020``."""
    return signed(value, digits) + ("" if stderr is None else f" ± {stderr:.{digits}f}")


def published(row: Row) -> str:
    """The paper's effect in its own unit."""
    direction = "better" if row["better"] else "worse"
    return direction if row["effect"] is None else f"{signed(row['effect'], 1)} {row['unit']}"


def cells(row: Row) -> list[str]:
    """One line of the table."""
    fast, second = row["metric"] in SPEEDS, row["accuracy"]
    factor = f"{1 + row['gain']:.2f} × ± {row['main']['stderr']:.2f}"
    sizes = row["params"]
    return [
        row["statement"],
        f"{row['paper']}, {row['section']}",
        published(row),
        factor if fast else with_error(row["gain"], row["main"]["stderr"], 4),
        with_error(second["difference"], second["stderr"], 1) if second else "–",
        row["verdict"],
        f"{sizes['a'] / 1e3:,.0f} k / {sizes['b'] / 1e3:,.0f} k" if sizes else "–",
    ]


def render(rows: Sequence[Row]) -> str:
    """Markdown of all claims, in the order given, and below it what differs from the papers' own comparisons."""
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "|".join("--:" if h in NUMBERS else "---" for h in HEADS) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in rows]
    notes = [f"- {row['statement']}: {row['note']}" for row in rows if row["note"]]
    seeds = max((row["main"]["n"] for row in rows), default=0)
    return "\n".join([*lines, "", LEGEND.format(n=seeds), *notes]).rstrip() + "\n"
