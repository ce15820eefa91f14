"""Where a training fails depends on its plan alone: not on when it was saved or interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from pocketlm.training import loop
from pocketlm.training.checkpoint import Checkpoints
from pocketlm.training.job import Diverged

Spoil = Callable[[loop.Trainer], None]


def high_from_6(self: loop.Trainer) -> None:
    """Losses far above guessing from step 6 on; at step 10 the plan looks."""
    if self.done >= 6:
        self.losses[self.done - 1] = 40.0


def high_at_6_and_7(self: loop.Trainer) -> None:
    """High, then low: at step 7 the mean is above the limit, at step 10 it is not."""
    if 6 <= self.done <= 10:
        self.losses[self.done - 1] = 11.0 if self.done < 8 else 1.0


def infinite_at_8(self: loop.Trainer) -> None:
    """The norm first, the loss a step later."""
    if self.done == 8:
        self.norms[7] = float("inf")
    if self.done == 9:
        self.losses[8] = float("nan")


def outcome(
    spoil: Spoil, patch: pytest.MonkeyPatch, folder: Path | None = None, every: int = 1000, stop: int = 0
) -> str:
    """How a training ends whose steps are spoilt: the message, or "done". It is interrupted after step ``stop``."""
    step, after = loop.Trainer.step, loop.Trainer.after_step

    def spoilt(self: loop.Trainer) -> None:
        step(self)
        spoil(self)

    def interrupt(self: loop.Trainer) -> None:
        after(self)
        if self.done == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with patch.context() as own:
        own.setattr(loop.Trainer, "step", spoilt)
        own.setattr(loop.Trainer, "after_step", interrupt)
        try:
            loop.train(tiny.job(plan=tiny.plan(checkpoint_every=every, validate_every=0), checkpoints=folder))
        except Diverged as error:
            return str(error)
    return "done"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (high_from_6, "diverged at step 10 (round 1, batch 9): its loss is 40.00"),
        (high_at_6_and_7, "done"),
        (infinite_at_8, "diverged at step 8 (round 1, batch 7): its gradient norm is inf"),
    ],
)
def test_the_same_end_whenever_it_is_saved_or_interrupted(
    spoil: Spoil, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = outcome(spoil, monkeypatch)
    assert words in alone
    for every in (7, 8, 9):
        assert outcome(spoil, monkeypatch, tmp_path / f"saved-{every}", every) == alone
    for stop in (6, 7, 8, 9):
        folder = tmp_path / f"stopped-{stop}"
        try:
            first = outcome(spoil, monkeypatch, folder, stop=stop)
        except KeyboardInterrupt:
            assert [path.name for path in Checkpoints(folder).files()] == [f"step-{stop:09d}.pt"]
            first = outcome(spoil, monkeypatch, folder)
        assert first == alone


def test_no_checkpoint_follows_a_step_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "diverged" in outcome(infinite_at_8, monkeypatch, tmp_path / "saved", every=3)
    assert "diverged" in outcome(infinite_at_8, monkeypatch, tmp_path / "stopped", every=3, stop=8)
    for name in ("saved", "stopped"):
        assert [path.stem for path in Checkpoints(tmp_path / name).files()] == ["step-000000006", "step-000000003"]
