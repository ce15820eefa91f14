"""Progress on a terminal and in a log."""

from __future__ import annotations

import io

import pytest

from pocketlm import progress
from pocketlm.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def test_plain_lines_every_five_seconds(now: list[float]) -> None:
    out = io.StringIO()
    shown = Progress("pretrain a0", 600, per_unit=1000, rate_unit="tok", stream=out)
    for step in range(1, 121):
        now[0] += 0.1
        shown.update(step, loss=3.21)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("pretrain a0: step 5") and lines[0].endswith("eta 0:55")
    assert "loss 3.210 | 10,000 tok/s" in lines[0]
    shown.close("results/models/a0/base")
    assert out.getvalue().splitlines()[-1].endswith("| took 0:12 -> results/models/a0/base")


def test_a_resumed_job_counts_its_own_steps(now: list[float]) -> None:
    shown = Progress("x", 100, start=90, stream=io.StringIO())
    now[0] += 10
    shown.update(95)
    assert shown.rate == pytest.approx(0.5)
    assert shown.line() == "x: step 95/100 | 0.500 step/s | eta 0:10"


def test_terminal_rewrites_one_line(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    shown = Progress("x", 10, stream=out)
    for step in range(1, 6):
        now[0] += 1
        shown.update(step)
    assert out.getvalue().count("\r") == 5 and "\n" not in out.getvalue()
    assert "[############............]" in out.getvalue()
    shown.close()
    assert out.getvalue().count("\n") == 1


def test_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not Progress("x", 10, stream=Terminal()).terminal


def test_clock() -> None:
    assert [clock(42), clock(725), clock(10807)] == ["0:42", "12:05", "3:00:07"]
