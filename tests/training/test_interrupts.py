"""One Ctrl-C may come twice: from the terminal, and from torchrun's agent."""

from __future__ import annotations

import os
import signal

import pytest

from pocketlm.training import interrupts
from pocketlm.training.interrupts import Interrupts


def test_a_repeat_counts_only_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now[0])
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as caught:
        os.kill(os.getpid(), signal.SIGINT)
        now[0] += 0.9
        os.kill(os.getpid(), signal.SIGTERM)
        assert caught.caught == signal.SIGINT
        now[0] += 0.2  # a second after the first, not after the one between
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before  # ignored, in what a script starts in the background
