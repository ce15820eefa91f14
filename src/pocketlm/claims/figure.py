"""The claims as one picture: the gain of each with its 95% interval, best first, on both sides of zero."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from pocketlm.claims.compare import SPEEDS
from pocketlm.claims.table import signed
from pocketlm.report.svg import CHAR, Scale, number, picture, shape, tick_text

Row = dict[str, Any]
WIDTH, ROW, TOP, BOTTOM, RIGHT = 760, 26, 34, 40, 90
STYLE = """<style>text { font: 12px system-ui, sans-serif; fill: #1c2126 } .soft { fill: #5b646d }
.grid { stroke: #e2e3df } .zero { stroke: #8a9199 } .same { fill: #007d5c; stroke: #007d5c }
.other { fill: #c14a00; stroke: #c14a00 } .not { fill: #5f6a72; stroke: #5f6a72 }
@media (prefers-color-scheme: dark) { text { fill: #e6e9ea } .soft { fill: #a3adb4 } .grid { stroke: #2d3439 } }
</style>"""


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    """Text at a pixel."""
    return f'<text class="{css}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{escape(words)}</text>'


def grid(scale: Scale, bottom: float) -> list[str]:
    """Ticks of the gain and the line of no effect."""
    out = []
    for tick in scale.ticks(5):
        x, css = number(scale(tick)), "zero" if tick == 0 else "grid"
        out.append(f'<line class="{css}" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{number(bottom)}"/>')
        out.append(text(scale(tick), bottom + 16, tick_text(tick), "soft", "middle"))
    return out


def line(row: Row, y: float, scale: Scale) -> list[str]:
    """One claim: name, interval, mark, value. A triangle marks what the paper found to be worse."""
    css, half = row["verdict"].split()[0], row["main"]["half_interval"] or 0.0
    low, high = number(scale(row["gain"] - half)), number(scale(row["gain"] + half))
    tip = f"{row['paper']}: {row['verdict']}"
    return [
        text(4, y + 4, row["claim"].replace("_", " ")),
        f'<line class="{css}" x1="{low}" x2="{high}" y1="{number(y)}" y2="{number(y)}"/>',
        shape("circle" if row["better"] else "triangle", scale(row["gain"]), y, 5, css, tip),
        text(WIDTH - 4, y + 4, signed(row["gain"], 4), "", "end"),
    ]


def draw(rows: Sequence[Row]) -> str:
    """A self-contained SVG of the claims on losses; speeds have another unit and stand in the table only."""
    shown = sorted((row for row in rows if row["metric"] not in SPEEDS), key=lambda row: (-row["gain"], row["claim"]))
    left = 16 + int(CHAR * max((len(row["claim"]) for row in shown), default=4))
    ends = [row["gain"] + side * (row["main"]["half_interval"] or 0.0) for row in shown for side in (-1, 1)]
    scale = Scale.of(ends, left, WIDTH - RIGHT, zero=True)
    height = TOP + ROW * len(shown) + BOTTOM
    body = [
        STYLE,
        text(4, 16, "bits per byte saved, with 95 % interval; ● the paper: better  ▲ the paper: worse", "soft"),
    ]
    body += grid(scale, height - BOTTOM)
    for place, row in enumerate(shown):
        body += line(row, TOP + ROW * (place + 0.5), scale)
    svg = picture("Claims", f"{len(shown)} ablations of the papers at this run's size", WIDTH, height, body)
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"
