"""Progress of a long stage on stderr: one line that rewrites itself on a terminal, a plain line every 5 s elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, TextIO

PLAIN_SECONDS = 5.0
TERMINAL_SECONDS = 0.1


def clock(seconds: float) -> str:
    """``0:42``, ``12:05`` or ``3:00:07``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def shown_value(value: Any) -> str:
    """A number as a person reads it: three decimals for small floats, thousands separated."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Progress:
    """``label: step 120/600 loss 3.210 | 7,812 tok/s | eta 0:42``.

    ``label`` names stage and entry (``pretrain a0``); ``total`` counts ``unit``; ``per_unit`` of a ``rate_unit``
    (tokens of a step) turns units into the rate that is shown. ``start`` is where a resumed job goes on, so that rate
    and time left count only what this process did.
    """

    def __init__(
        self,
        label: str,
        total: int,
        unit: str = "step",
        *,
        per_unit: float = 1.0,
        rate_unit: str | None = None,
        start: int = 0,
        stream: TextIO | None = None,
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.per_unit, self.rate_unit = per_unit, rate_unit or unit
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.interval = TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS
        self.start, self.done = start, start
        self.began = self.printed = time.monotonic()
        self.shown: dict[str, Any] = {}
        self.width = 0

    @property
    def rate(self) -> float:
        """``rate_unit`` a second since this process began."""
        return (self.done - self.start) * self.per_unit / max(1e-9, time.monotonic() - self.began)

    def line(self) -> str:
        """The line as it stands now."""
        shown = "".join(f" {name} {shown_value(value)}" for name, value in self.shown.items() if value is not None)
        text = f"{self.label}: {self.unit} {self.done:,}/{self.total:,}{shown}"
        if self.done <= self.start:
            return text
        rate = self.rate
        left = (self.total - self.done) * self.per_unit / max(1e-9, rate)
        return f"{text} | {shown_value(rate)} {self.rate_unit}/s | eta {clock(left)}"

    def update(self, done: int, **shown: Any) -> None:
        """``done`` units are done; ``shown`` are named values that stay until they are given anew."""
        self.done = done
        self.shown.update(shown)
        now = time.monotonic()
        if now - self.printed >= self.interval:
            self.printed = now
            self._print(self.line())

    def say(self, message: str) -> None:
        """A line of its own that stays: ``label: message``."""
        self._clear()
        self.stream.write(f"{self.label}: {message}\n")
        self.stream.flush()

    def close(self, message: str = "") -> None:
        """The last line: what was done, how fast, and ``message`` (where the result is)."""
        self._clear()
        took = clock(time.monotonic() - self.began)
        ending = f" -> {message}" if message else ""
        self.stream.write(f"{self.line().partition(' | eta')[0]} | took {took}{ending}\n")
        self.stream.flush()

    def _print(self, text: str) -> None:
        if not self.terminal:
            self.stream.write(text + "\n")
        else:
            columns = shutil.get_terminal_size().columns
            bar = self._bar(columns - len(text) - 4)
            text = (text + bar)[: columns - 1]
            self.stream.write("\r" + text.ljust(min(self.width, columns - 1)))
            self.width = len(text)
        self.stream.flush()

    def _bar(self, room: int) -> str:
        cells = min(24, room)
        if cells < 6:
            return ""
        full = round(cells * self.done / max(1, self.total))
        return f" [{'#' * full}{'.' * (cells - full)}]"

    def _clear(self) -> None:
        if self.terminal and self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.width = 0
