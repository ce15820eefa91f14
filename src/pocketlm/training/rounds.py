"""PanGu-pi Pro's multi-round training (arXiv 2402.02791): later rounds see again what was hard.

The loss of every batch is kept; a further round draws N0 of the N batches without replacement with
p_i = exp(l_i) / sum_j exp(l_j). The draw is Gumbel top-k: the k largest of l_i + Gumbel noise are such a draw exactly.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pocketlm.config import Plan


def round_lengths(plan: Plan) -> list[int]:
    """Steps of each round: all batches first, then ``round_share`` of them."""
    further = max(1, round(plan.round_share * plan.steps))
    return [plan.steps] + [further] * (plan.rounds - 1)


def draw(losses: np.ndarray, count: int, seed: int, round_: int) -> np.ndarray:
    """Indices int64 [count] of the batches of a further round, in the order of training.

    losses float [N] in nats: each batch's last loss. A pure function of its arguments. The order is shuffled: the
    order of the draw itself would put the hardest first.
    """
    generator = np.random.Generator(np.random.PCG64([seed, round_]))
    gumbel = -np.log(-np.log(generator.random(len(losses)) + 1e-300) + 1e-300)
    keys = np.asarray(losses, dtype=np.float64) + gumbel
    chosen = np.sort(np.argsort(-keys, kind="stable")[:count])
    return generator.permutation(chosen).astype(np.int64)


class RoundOrder:
    """Which batch is trained at which step, and the last loss of each batch."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        self.lengths = round_lengths(plan)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)]).tolist()
        self.total = int(self.starts[-1])
        self._orders: dict[int, np.ndarray] = {0: np.arange(plan.steps, dtype=np.int64)}

    def round_of(self, step: int) -> int:
        """The round (0-based) of a global step."""
        return next(r for r in range(len(self.lengths)) if step < self.starts[r + 1])

    def batch_of(self, step: int, losses: Tensor) -> tuple[int, int]:
        """(round, batch) of a global step. losses float [total]: one for each step done so far."""
        round_ = self.round_of(step)
        if round_ not in self._orders:
            known = self.last_losses(round_, losses)
            self._orders[round_] = draw(known, self.lengths[round_], self.seed, round_)
        return round_, int(self._orders[round_][step - self.starts[round_]])

    def last_losses(self, before: int, losses: Tensor) -> np.ndarray:
        """Each batch's last loss float [steps] when round ``before`` begins."""
        known = np.full(self.plan.steps, np.nan)
        for round_ in range(before):
            if round_ not in self._orders:
                self._orders[round_] = draw(known, self.lengths[round_], self.seed, round_)
            known[self._orders[round_]] = losses[self.starts[round_] : self.starts[round_ + 1]].cpu().numpy()
        return known
