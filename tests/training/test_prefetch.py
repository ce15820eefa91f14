"""Reading ahead gives the reader's own batches, in any order, and its errors where they belong."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from pocketlm.training.prefetch import Prefetch


def test_batches_are_the_readers_own_whatever_was_guessed() -> None:
    reader, batches = tiny.Rows(), Prefetch(tiny.Rows(), torch.device("cpu"))
    for index, following in ((0, 1), (1, 2), (7, 3), (2, None), (3, 4)):  # 7 and 2 were not what was read ahead
        inputs, targets, *_ = reader.batch(0, index)
        found = batches.get(index, following)
        np.testing.assert_array_equal(found.inputs.numpy(), inputs)
        np.testing.assert_array_equal(found.targets.numpy(), targets)
    batches.close()


def test_the_next_batch_is_read_while_this_one_is_used() -> None:
    read: dict[int, threading.Event] = {index: threading.Event() for index in range(3)}

    class Watched(tiny.Rows):
        def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[Any, ...]:
            found = super().batch(round, step, rows)
            read[step].set()
            return found

    batches = Prefetch(Watched(), torch.device("cpu"))
    batches.get(0, 1)
    assert read[1].wait(10) and not read[2].is_set()
    batches.close()


def test_an_error_of_the_reader_is_raised_at_its_own_batch() -> None:
    class Broken(tiny.Rows):
        def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[Any, ...]:
            if step == 1:
                raise OSError("the disk is gone")
            return super().batch(round, step, rows)

    batches = Prefetch(Broken(), torch.device("cpu"))
    batches.get(0, 1)
    with pytest.raises(OSError, match="the disk is gone"):
        batches.get(1, 2)
