"""A small plot that becomes inline SVG.

Why not a plotting library: the figures follow the page's light and dark colours through CSS variables, their text
stays text (selectable, read aloud), tooltips are native titles, and the bytes depend on nothing but the numbers.
Colours are CSS classes (``c0`` .. ``c7``); the page's style sheet gives them their values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

CHAR = 6.9  # estimated width of a character at 12 px, for the placing of labels
LINE = 14.0  # height of a line of labels
MARKERS = ("circle", "square", "diamond", "triangle")


def number(value: float) -> str:
    """A coordinate: one decimal, no negative zero."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def nice_step(span: float, count: int) -> float:
    """The step of 1, 2, 2.5 or 5 times a power of ten that cuts ``span`` into at most about ``count`` parts."""
    if span <= 0:
        return 1.0
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * 0.999)


@dataclass
class Scale:
    """Maps values to pixels; linear or logarithmic, with round ticks."""

    lo: float
    hi: float
    start: float
    stop: float
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[float], start: float, stop: float, log: bool = False, zero: bool = False) -> Scale:
        """A scale that holds all values with some air; ``zero`` includes 0."""
        finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)] or [1.0]
        lo, hi = min(finite), max(finite)
        if log:
            return cls(lo / 1.25, hi * 1.25, start, stop, True)
        if zero:
            lo, hi = min(lo, 0.0), max(hi, 0.0)
        pad = (hi - lo or abs(hi) or 1.0) * 0.08
        low = lo if zero and lo == 0 else lo - pad
        return cls(low, hi if zero and hi == 0 else hi + pad, start, stop)

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(max(value, 1e-12) / self.lo) / math.log(self.hi / self.lo)
        else:
            share = (value - self.lo) / (self.hi - self.lo)
        return self.start + share * (self.stop - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the scale."""
        if self.log:
            return self._log_ticks(count)
        step = nice_step(self.hi - self.lo, count)
        first = math.ceil(self.lo / step - 1e-9)
        last = math.floor(self.hi / step + 1e-9)
        return [k * step for k in range(first, last + 1)]

    def _log_ticks(self, count: int) -> list[float]:
        powers = range(math.floor(math.log10(self.lo)), math.ceil(math.log10(self.hi)) + 1)
        for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [d * 10.0**p for p in powers for d in digits if self.lo <= d * 10.0**p <= self.hi]
            if len(found) <= count + 1:
                break
        return found if len(found) >= 2 else Scale(self.lo, self.hi, 0, 1).ticks(count)


def tick_text(value: float) -> str:
    """12,000 · 120 · 1.5 · 0.25; no trailing zeros."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}".removesuffix(".0")


@dataclass
class Label:
    """A text beside a point, to be placed where it covers nothing."""

    x: float
    y: float
    text: str
    css: str


@dataclass
class Plot:
    """Axes with marks. Coordinates given to the drawing methods are data values."""

    title: str
    desc: str
    x_title: str = ""
    y_title: str = ""
    width: int = 400
    height: int = 300
    left: int = 44
    right: int = 16
    top: int = 28
    bottom: int = 40
    body: list[str] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def axes(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        x_log: bool = False,
        y_log: bool = False,
        x_zero: bool = False,
        y_zero: bool = False,
    ) -> Plot:
        """Fix the scales from the data and draw grid and ticks."""
        self.x = Scale.of(xs, self.left, self.width - self.right, x_log, x_zero)
        self.y = Scale.of(ys, self.height - self.bottom, self.top, y_log, y_zero)
        for tick in self.y.ticks(5):
            y = number(self.y(tick))
            self.body.append(f'<line class="grid" x1="{self.left}" x2="{self.width - self.right}" y1="{y}" y2="{y}"/>')
            self.text(self.left - 6, self.y(tick) + 4, tick_text(tick), "tick", "end")
        for tick in self.x.ticks(5):
            x = number(self.x(tick))
            base = self.height - self.bottom
            self.body.append(f'<line class="tickmark" x1="{x}" x2="{x}" y1="{base}" y2="{base + 4}"/>')
            self.text(self.x(tick), base + 17, tick_text(tick), "tick", "middle")
        base = self.height - self.bottom
        self.body.append(
            f'<line class="axis" x1="{self.left}" x2="{self.width - self.right}" y1="{base}" y2="{base}"/>'
        )
        self.text(4, 14, self.y_title, "axis-title", "start")
        self.text(self.width - self.right, self.height - 6, self.x_title, "axis-title", "end")
        return self

    def text(self, x: float, y: float, text: str, css: str, anchor: str = "start") -> None:
        """Text at a pixel position."""
        if text:
            place = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"'
            self.body.append(f'<text class="{css}" {place}>{escape(text)}</text>')

    def line(self, points: Sequence[tuple[float, float]], css: str, tip: str = "", step: bool = False) -> None:
        """A polyline; ``step`` goes right, then up or down (a front)."""
        shown = [(self.x(x), self.y(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        if len(shown) < 2:
            return
        path = f"M{number(shown[0][0])},{number(shown[0][1])}"
        for (_, before), (x, y) in zip(shown, shown[1:], strict=False):
            path += f"H{number(x)}V{number(y)}" if step and before != y else f"L{number(x)},{number(y)}"
        self.body.append(f'<path class="line {css}" d="{path}">{title(tip)}</path>')

    def point(self, x: float, y: float, css: str, tip: str = "", marker: int = 0, size: float = 5.0) -> None:
        """A marker with a tooltip."""
        px, py = self.x(x), self.y(y)
        self.taken.append((px - size, py - size, px + size, py + size))
        self.body.append(shape(MARKERS[marker % len(MARKERS)], px, py, size, css, tip))

    def error(self, x: float, y: float, half: float, css: str) -> None:
        """A vertical error bar of plus and minus ``half``."""
        if half > 0:
            low, high = self.y(y - half), self.y(y + half)
            self.taken.append((self.x(x) - 2, high, self.x(x) + 2, low))
            x1, y1, y2 = number(self.x(x)), number(low), number(high)
            self.body.append(f'<line class="error {css}" x1="{x1}" x2="{x1}" y1="{y1}" y2="{y2}"/>')

    def label(self, x: float, y: float, text: str, css: str) -> None:
        """Ask for a direct label of a data point; placed when the plot is drawn."""
        self.labels.append(Label(self.x(x), self.y(y), text, css))

    def end_labels(self, ends: Sequence[tuple[float, float, str, str]]) -> None:
        """Labels (x, y, text, css) at the ends of lines in the right margin, pushed apart."""
        placed = sorted((self.y(y), self.x(x), text, css) for x, y, text, css in ends)
        places: list[float] = []
        for y, *_ in placed:
            places.append(max(y, places[-1] + LINE) if places else y)
        floor = self.height - self.bottom - 6.0
        for i in reversed(range(len(places))):  # those that were pushed below the plot push back
            places[i] = min(places[i], floor)
            floor = places[i] - LINE
        for (_, x, text, css), place in zip(placed, places, strict=True):
            self.text(x + 6, place + 4, text, f"label {css}")

    def _place(self, label: Label) -> None:
        wide = CHAR * len(label.text)
        offsets = [(9.0, 4.0), (-9.0 - wide, 4.0), (-wide / 2, -10.0), (-wide / 2, 20.0), (8.0, -9.0), (8.0, 18.0)]
        offsets += [(-8.0 - wide, -9.0), (-8.0 - wide, 18.0), (-wide / 2, -24.0), (-wide / 2, 34.0)]
        offsets += [(16.0, -22.0), (16.0, 30.0), (-16.0 - wide, -22.0), (-16.0 - wide, 30.0), (-wide / 2, -38.0)]
        best = min(
            (self._cost(label.x + dx, label.y + dy, wide), order, dx, dy) for order, (dx, dy) in enumerate(offsets)
        )
        x, y = label.x + best[2], label.y + best[3]
        self.taken.append((x, y - 11, x + wide, y + 3))
        # anchored on the side of the mark, so that a wider font never runs over it
        anchor = "start" if best[2] > 0 else "end" if best[2] < -wide else "middle"
        self.text(
            x + {"start": 0.0, "middle": wide / 2, "end": wide}[anchor], y, label.text, f"label {label.css}", anchor
        )

    def _cost(self, x: float, y: float, wide: float) -> float:
        box = (x, y - 11, x + wide, y + 3)
        outside = max(0.0, self.left - box[0]) + max(0.0, box[2] - self.width + 2) + max(0.0, self.top - 8 - box[1])
        outside += max(0.0, box[3] - (self.height - self.bottom))
        return 40 * outside + sum(overlap(box, other) for other in self.taken)

    def svg(self) -> str:
        """The finished picture."""
        for label in self.labels:
            self._place(label)
        return picture(self.title, self.desc, self.width, self.height, self.body)


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Area that two boxes (x1, y1, x2, y2) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def title(text: str) -> str:
    """A native tooltip."""
    return f"<title>{escape(text)}</title>" if text else ""


def shape(kind: str, x: float, y: float, size: float, css: str, tip: str = "") -> str:
    """One marker centred at a pixel."""
    style = f'class="mark {css}"'
    if kind == "circle":
        return f'<circle {style} cx="{number(x)}" cy="{number(y)}" r="{number(size)}">{title(tip)}</circle>'
    corners: dict[str, Callable[[float], list[tuple[float, float]]]] = {
        "square": lambda s: [(-s, -s), (s, -s), (s, s), (-s, s)],
        "diamond": lambda s: [(0, -s * 1.3), (s * 1.3, 0), (0, s * 1.3), (-s * 1.3, 0)],
        "triangle": lambda s: [(0, -s * 1.2), (s * 1.15, s * 0.9), (-s * 1.15, s * 0.9)],
    }
    points = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners[kind](size * 0.9))
    return f'<polygon {style} points="{points}">{title(tip)}</polygon>'


def picture(name: str, desc: str, width: int, height: int, body: Sequence[str]) -> str:
    """The svg element with its accessible name."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name + ". " + desc, quote=True)}">'
    return head + "".join(body) + "</svg>"
