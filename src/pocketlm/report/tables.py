"""Tables of the page: plain cells, which the template turns into accessible HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Cell:
    """A cell: its text, a smaller second line, a css class."""

    text: str
    note: str = ""
    css: str = ""


@dataclass
class Table:
    """Heads (a leading ``#`` marks a column of numbers), rows whose first cell heads the row, and a caption."""

    caption: str
    heads: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""

    def add(self, *cells: str | Cell) -> None:
        """One row."""
        self.rows.append([cell if isinstance(cell, Cell) else Cell(cell) for cell in cells])


DASH = "–"


def fixed(value: float | None, digits: int = 1, plus: bool = False) -> str:
    """A number with so many decimals and a true minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:+,.{digits}f}" if plus else f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def spread(value: float | None, stderr: float | None, digits: int = 1, plus: bool = False) -> str:
    """``61.2 ± 1.3``."""
    text = fixed(value, digits, plus)
    return text if text == DASH or not stderr else f"{text} ± {fixed(stderr, digits)}"


def count(value: float | None) -> str:
    """1.2 M, 640 k, 12; a dash where there is none."""
    if value is None:
        return DASH
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def mib(value: float | None) -> str:
    """Bytes as MiB."""
    return DASH if value is None else fixed(value / (1 << 20), 2)


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""
