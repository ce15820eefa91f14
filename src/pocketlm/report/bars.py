"""Horizontal bar charts, plain and stacked, with the value written beside each bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pocketlm.report.svg import CHAR, number, picture, title

ROW = 20


@dataclass
class Bar:
    """One row: its name, the stacked lengths with their css classes, the text at the end, the tooltip."""

    name: str
    parts: Sequence[tuple[float, str]]
    text: str
    tip: str = ""
    group: str = ""
    error: float = 0.0


def bars(name: str, desc: str, rows: Sequence[Bar], width: int = 400, limit: float | None = None) -> str:
    """Rows of bars under group headings; ``limit`` fixes the value of full length."""
    widest = max((sum(v for v, _ in r.parts) + r.error for r in rows), default=1.0)
    limit = limit or widest or 1.0
    left = min(10 + int(CHAR * max((len(r.name) for r in rows), default=4)), width // 2)
    room = width - left - 12 - int(CHAR * max((len(r.text) for r in rows), default=4))
    body: list[str] = []
    y, group = 4.0, ""
    for row in rows:
        if row.group != group:
            group = row.group
            y += 6 if body else 0
            body.append(f'<text class="group" x="0" y="{number(y + 13)}">{escape(group)}</text>')
            y += ROW - 2
        body.append(_row(row, y, left, room / limit))
        y += ROW
    return picture(name, desc, width, int(y + 4), body)


def _row(row: Bar, y: float, left: int, unit: float) -> str:
    out = f'<g>{title(row.tip)}<text class="name" x="{left - 8}" y="{number(y + 14)}" text-anchor="end">'
    out += f"{escape(row.name)}</text>"
    x = float(left)
    for value, css in row.parts:
        long = max(value, 0.0) * unit
        place = f'x="{number(x)}" y="{number(y + 3)}"'
        out += f'<rect class="bar {css}" {place} width="{number(long)}" height="{ROW - 7}"/>'
        x += long
    end = x
    if row.error > 0:
        low, high, mid = x - row.error * unit, x + row.error * unit, number(y + 10.5)
        out += f'<line class="whisker" x1="{number(max(low, left))}" x2="{number(high)}" y1="{mid}" y2="{mid}"/>'
        end = high
    return out + f'<text class="value" x="{number(end + 6)}" y="{number(y + 14)}">{escape(row.text)}</text></g>'
