"""From a trained source and a smaller architecture to first weights, and an account of what was kept and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pocketlm.config import Architecture, ConfigError, Inherit
from pocketlm.inheritance import depth, masks, units
from pocketlm.inheritance.fit import misfits
from pocketlm.inheritance.transfer import choose, cut
from pocketlm.inheritance.units import Batch, Scores
from pocketlm.model.decoder import Decoder

DIGITS = 6  # of a score in the account


def importance(source: Decoder, batches: Sequence[Batch], how: Inherit) -> tuple[list[float], Scores]:
    """(of every block, of every unit)."""
    blocks = depth.skipped(source, batches) if how.layers == "skip" else depth.by_gradient(source, batches)
    if how.units == "taylor":
        return blocks, units.by_gradient(source, batches)
    if how.units == "mask":
        return blocks, masks.learn(source, batches, how.mask_steps, how.mask_lr, how.mask_penalty)
    return blocks, units.by_weights(source, how.units)


def inherit(
    source: Decoder, target: Architecture, batches: Sequence[Batch], how: Inherit, where: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(first weights of ``target``, the account). Raises ConfigError naming what keeps it from inheriting.

    All calibration batches are read from memory; beside them one source and one target are, and one gradient at a time.
    """
    problems = list(misfits(source.arch, target))
    if problems:
        raise ConfigError(f"{where}: cannot inherit: {'; '.join(problems)}")
    blocks, scores = importance(source, batches, how)
    kept = choose(scores, depth.keep_blocks(blocks, target.n_layers, how.keep_ends), target)
    state = cut(source.state_dict(), kept, target)
    before = depth.mean_loss(source, batches)
    with torch.device("meta"):
        made = Decoder(target, source.vocab_size, seed=None)
    made.load_state_dict(state, assign=True)  # the same memory
    account = {
        "layers": how.layers,
        "units": how.units,
        "importance_of_blocks": [float(f"{value:.{DIGITS}g}") for value in blocks],
        "kept": kept.plain(),
        "loss_of_source": round(before, DIGITS),
        "loss_at_start": round(depth.mean_loss(made.eval(), batches), DIGITS),
        "loss_of_guessing": round(float(torch.log(torch.tensor(float(source.vocab_size)))), DIGITS),
    }
    return state, account
