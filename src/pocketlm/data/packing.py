"""Packing dialogues into rows without cutting or mixing them.

Every epoch the documents are shuffled and put, each whole, into the fullest row that still has room (best fit); the
plan of an epoch is a function of its key, so that any row of any epoch can be made again. A document of n tokens takes
n - 1 places: its last token is only a target.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlm.artifacts import ArtifactError
from pocketlm.data.flat import Flat
from pocketlm.data.shuffle import Ints, key_of, permute

IGNORE = -100
KEPT = 3  # plans in memory

NDBool = NDArray[np.bool_]
Plan = tuple[Ints, Ints]  # documents in row order, and where each row starts among them


class PackedChat:
    """Rows of whole dialogues of one part."""

    def __init__(self, folder: Path, split: str, name: str, meta: dict[str, Any], seq_len: int, key: int) -> None:
        from pocketlm.data.reader import load

        stem = f"{split}.{name}"
        self.tokens = Flat(folder / f"{stem}.bin", meta["dtype"])
        self.mask = load(folder / f"{stem}.mask", "uint8")
        starts = np.fromfile(folder / f"{stem}.idx", dtype=np.int64)
        if len(self.mask) != len(self.tokens) or starts[-1] != len(self.tokens):
            raise ArtifactError(f"{folder}/{stem}: tokens, mask and index do not fit together; tokenize again")
        self.seq_len, self.key, self.pad_id = seq_len, key, meta["pad_id"]
        lengths = np.minimum(np.diff(starts), seq_len + 1)
        kept = self._with_loss(starts[:-1], lengths)
        self.starts, self.lengths = starts[:-1][kept], lengths[kept]
        self._plans: OrderedDict[tuple[int, int], Plan] = OrderedDict()
        self._rows: dict[int, list[int]] = {}  # round -> rows before each epoch
        self.rows = len(self._plan(0, 0)[1]) - 1 if len(self.starts) else 0

    def _with_loss(self, starts: Ints, lengths: Ints) -> NDBool:
        """Documents that teach something within seq_len tokens."""
        ones = np.concatenate([[0], np.cumsum(self.mask, dtype=np.int64)])
        return np.asarray((ones[starts + lengths] - ones[np.minimum(starts + 1, starts + lengths)]) > 0)

    def _plan(self, round: int, epoch: int) -> Plan:
        if (round, epoch) not in self._plans:
            key = key_of(self.key, round, epoch)
            order = permute(np.arange(len(self.starts)), len(self.starts), key)
            rows = best_fit(order, self.lengths[order] - 1, self.seq_len)
            rows = [rows[i] for i in permute(np.arange(len(rows)), len(rows), key_of(key, 1))]
            bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
            self._plans[round, epoch] = np.array([d for row in rows for d in row], dtype=np.int64), bounds
            if len(self._plans) > KEPT:
                self._plans.popitem(last=False)
        return self._plans[round, epoch]

    def _epoch_of(self, round: int, place: int) -> tuple[int, int]:
        """(epoch, row in it) of a place in the endless stream; epochs differ a little in their number of rows."""
        before = self._rows.setdefault(round, [0])
        while before[-1] <= place:
            before.append(before[-1] + len(self._plan(round, len(before) - 1)[1]) - 1)
        epoch = int(np.searchsorted(before, place, side="right")) - 1
        return epoch, place - before[epoch]

    def shuffled(self, round: int, order: Ints) -> Any:
        """The rows at places ``order`` of the part's endless shuffled stream."""
        rows = []
        for place in order:
            epoch, row = self._epoch_of(round, int(place))
            documents, bounds = self._plan(round, epoch)
            rows.append(documents[bounds[row] : bounds[row + 1]])
        return self._fill(rows)

    def read(self, numbers: Ints) -> Any:
        """The rows with these numbers of the first plan."""
        documents, bounds = self._plan(0, 0)
        return self._fill([documents[bounds[row] : bounds[row + 1]] for row in numbers])

    def _fill(self, rows: list[Ints]) -> Any:
        from pocketlm.data.reader import Batch

        shape = (len(rows), self.seq_len)
        inputs = np.full(shape, self.pad_id, dtype=np.int64)
        targets = np.full(shape, IGNORE, dtype=np.int64)
        documents = np.zeros(shape, dtype=np.int64)
        for r, row in enumerate(rows):
            at = 0
            for number, document in enumerate(row):
                start, length = int(self.starts[document]), int(self.lengths[document])
                ids = self.tokens[start : start + length].astype(np.int64)
                own = self.mask[start + 1 : start + length] != 0
                end = at + length - 1
                inputs[r, at:end] = ids[:-1]
                targets[r, at:end] = np.where(own, ids[1:], IGNORE)
                documents[r, at:end] = number
                at = end
            documents[r, at:] = len(row)
        return Batch(inputs, targets, documents)


def best_fit(order: Ints, sizes: Ints, capacity: int) -> list[list[int]]:
    """Rows of items whose sizes sum to at most ``capacity``; each item goes into the fullest row with room.

    A bit mask of the free sizes that exist makes each choice O(1).
    """
    rows: list[list[int]] = []
    free: list[list[int]] = [[] for _ in range(capacity + 1)]
    present = 0
    for item, size in zip(order.tolist(), sizes.tolist(), strict=True):
        fitting = present >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            row = free[room].pop()
            if not free[room]:
                present &= ~(1 << room)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(item)
        free[room - size].append(row)
        present |= 1 << (room - size)
    return rows
