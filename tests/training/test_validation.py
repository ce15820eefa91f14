"""Held-out text is taken in slices that fit the device, dealt to the ranks, and gives the loss of the whole."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch

from pocketlm import numerics
from pocketlm.config import Numerics
from pocketlm.numerics import Runtime
from pocketlm.training import loop
from pocketlm.training.parallel import Alone
from pocketlm.training.validation import held_out

BATCHES = 3


class Uneven(tiny.Rows):
    """The last batch is smaller, as a reader's is."""

    def validation_batches(self, n: int) -> list[Any]:
        *full, last = super().validation_batches(n)
        return [*full, tuple(None if array is None else array[:5] for array in last)]


def trainer(**plan: Any) -> loop.Trainer:
    given = tiny.job(plan=tiny.plan(batch_size=8, validation_batches=BATCHES, **plan), validation=Uneven(8))
    return loop.Trainer(given, numerics.apply(Numerics()))


def watched(one: loop.Trainer) -> list[int]:
    """The rows of each forward pass from now on."""
    seen, loss_of = [], one.loss_of
    one.loss_of = lambda inputs, *rest: seen.append(len(inputs)) or loss_of(inputs, *rest)
    return seen


@torch.no_grad()
def by_hand(one: loop.Trainer) -> float:
    """Nats a token by torch's own loss over whole batches."""
    nats, tokens = 0.0, 0
    for raw in Uneven(8).validation_batches(BATCHES):
        inputs, targets = torch.as_tensor(raw[0]), torch.as_tensor(raw[1])
        logits = one.model.logits(one.model(inputs)).flatten(0, 1)
        nats += float(torch.nn.functional.cross_entropy(logits, targets.flatten(), ignore_index=-100, reduction="sum"))
        tokens += int((targets != -100).sum())
    return nats / tokens


@pytest.mark.parametrize(("micro", "rows"), [(None, [8, 8, 5]), (8, [8, 8, 5]), (2, [2] * 10 + [1]), (1, [1] * 21)])
def test_no_forward_takes_more_than_micro_batch(micro: int | None, rows: list[int]) -> None:
    one = trainer(micro_batch=micro)
    seen = watched(one)
    found = one.validate()
    assert seen == rows
    assert found is not None and found[0] == pytest.approx(by_hand(one), rel=1e-6)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_share_it_and_all_go_as_often_through_the_model(ranks: int) -> None:
    """Where a batch gives 5 slices, some ranks have none in the last turn; a shard of theirs is needed all the same."""
    one = trainer()
    whole = one.validate()
    assert whole is not None
    shares, passes = [], []

    class One(Alone):
        def total(self, value: float) -> float:
            shares.append(value)
            return value

    for rank in range(ranks):
        seen = watched(one)
        held_out(Uneven(8), BATCHES, 1, One(Runtime(one.runtime.device, False, False, rank, ranks)), one._loss)
        passes.append(len(seen))
    tokens = sum(int((raw[1] != -100).sum()) for raw in Uneven(8).validation_batches(BATCHES))
    assert sum(shares) / tokens == pytest.approx(whole[0], rel=1e-6)
    assert set(passes) == {2 * -(-8 // ranks) + -(-5 // ranks)}
