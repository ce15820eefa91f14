"""Ctrl-C and SIGTERM during a training: finish the step, write a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

REPEAT = 1.0  # seconds: one Ctrl-C comes to a rank twice, from the terminal and from torchrun's agent


class Interrupts:
    """A context in which the first SIGINT or SIGTERM only sets ``caught``; one REPEAT or more later stops at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.caught: int | None = None
        self.at = 0.0  # when, in seconds of the monotonic clock
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self.previous = {number: signal.signal(number, self._catch) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _catch(self, number: int, _: FrameType | None) -> None:
        if self.caught is None:
            self.caught, self.at = number, time.monotonic()
        elif time.monotonic() - self.at >= REPEAT:
            raise KeyboardInterrupt
