"""Says what goes wrong in a training without ending it: a loss that spikes, a reader that stalls; with step and batch.

What it says goes to the terminal and the job's log, never into an artefact: when a reader stalls depends on time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

WINDOW = 64  # losses that a spike stands out from
FEWEST = 16
DEVIATIONS = 6.0
RELATIVE = 1.1  # a spike is at least so many times the window's mean: tiny losses have tiny deviations
SLOW = 20.0  # times the usual
SHORTEST = 1.0  # seconds below which no read is called slow
PATIENCE = 30.0  # seconds after which a read that has not ended is named


def spikes(losses: np.ndarray, first: int) -> list[int]:
    """Steps (0-based, from ``first`` on) whose loss stands far above those of the up to WINDOW steps before.

    losses float [steps] in nats. Far: above the mean by DEVIATIONS standard deviations and by a tenth. Of steps in
    a row only the first is given, be it before ``first``.
    """
    found, high = [], False
    for step in range(max(first - 1, FEWEST), len(losses)):
        before = losses[max(0, step - WINDOW) : step].astype(np.float64)
        limit = max(before.mean() + DEVIATIONS * before.std(), RELATIVE * before.mean())
        if losses[step] > limit and not high and step >= first:
            found.append(step)
        high = bool(losses[step] > limit)
    return found


class Watch:
    """Times the reads of a training and looks through its losses. ``where(step)`` gives (round, batch), 0-based.

    Inside ``with``, a read that does not end is named too.
    """

    def __init__(self, say: Callable[[str], None], where: Callable[[int], tuple[int, int]]) -> None:
        self.say, self.where = say, where
        self.usual: deque[float] = deque(maxlen=WINDOW)
        self.now: tuple[int, int, float] | None = None  # step, batch and start of the read that goes on
        self.named = -1  # step whose unfinished read was named
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def read(self, read: Callable[[], Any], batch: int, step: int) -> Any:
        """``read()``, the ``batch`` of a step (0-based); a slow one is said when it ends, and while it lasts."""
        began = time.monotonic()
        self.now = (step, batch, began)
        arrays = read()
        self.now = None
        self.took(time.monotonic() - began, batch, step)
        return arrays

    def took(self, seconds: float, batch: int, step: int) -> None:
        """A read has ended."""
        usual = float(np.median(self.usual)) if seconds > SHORTEST and len(self.usual) >= FEWEST else seconds
        if seconds > SLOW * usual:
            self.say(
                f"the reader stalled at step {step + 1} (batch {batch}): {seconds:.1f} s, usually {usual:.3f} s; "
                "look at the disk or network that holds results/tokens"
            )
        self.usual.append(seconds)

    def _look(self) -> None:
        while not self.ended.wait(min(1.0, PATIENCE / 4)):
            now = self.now
            if now is not None and now[0] != self.named and time.monotonic() - now[2] > PATIENCE:
                self.named = now[0]
                self.say(
                    f"the reader stalls at step {now[0] + 1} (batch {now[1]}): nothing for {PATIENCE:g} s; "
                    "look at the disk or network that holds results/tokens"
                )

    def losses(self, losses: Any, first: int) -> None:
        """Say the spikes among the losses (tensor [steps]) of the steps from ``first`` on."""
        values = losses.numpy()
        for step in spikes(values, first):
            usual = float(values[max(0, step - WINDOW) : step].mean())
            round_, batch = self.where(step)
            self.say(
                f"the loss spikes at step {step + 1} (round {round_ + 1}, batch {batch}): {values[step]:.3f}, "
                f"{usual:.3f} on average before; see it with: pocketlm batch MODEL PHASE --step {step + 1}"
            )

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
