"""Batches from token shards, each a pure function of (seed, round, step): any one can be made again at any time.

A stream of rows is dealt to the parts in blocks of BLOCK rows that hold each part's share exactly, in a keyed order.
Inside a part, row k is window (text) or packed row (chat) ``permutation(k mod n)`` of epoch ``k div n``; every epoch
has a permutation of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketlm.artifacts import ArtifactError, check_manifest, read_json
from pocketlm.data.flat import Flat
from pocketlm.data.packing import PackedChat
from pocketlm.data.shuffle import Ints, key_of, permute

BLOCK = 1024
IGNORE = -100


class Batch(NamedTuple):
    """One batch. ``documents`` is None for text; for chat, attention stays inside a document."""

    inputs: Ints  # [B, T]
    targets: Ints  # [B, T], IGNORE where no loss is taken
    documents: Ints | None = None  # [B, T] number of the document inside the row, padding has one of its own


class TextPart:
    """Windows of seq_len + 1 tokens over the concatenated documents of one part."""

    def __init__(self, folder: Path, split: str, name: str, meta: dict[str, Any], seq_len: int, key: int) -> None:
        self.tokens = Flat(folder / f"{split}.{name}.bin", meta["dtype"])
        self.seq_len, self.key, self.pad_id = seq_len, key, meta["pad_id"]
        predicted = max(len(self.tokens) - 1, 0)
        # training drops the last partial window, validation pads it
        self.rows = predicted // seq_len if split == "train" else -(-predicted // seq_len)

    def shuffled(self, round: int, order: Ints) -> Batch:
        """The windows at places ``order`` of the part's endless shuffled stream."""
        epochs, places = np.divmod(order, self.rows)
        windows = np.empty_like(order)
        for epoch in np.unique(epochs):
            at = epochs == epoch
            windows[at] = permute(places[at], self.rows, key_of(self.key, round, int(epoch)))
        return self.read(windows)

    def read(self, windows: Ints) -> Batch:
        """The windows with these numbers."""
        starts = windows * self.seq_len
        block = self.tokens.rows(starts, self.seq_len + 1)
        inputs, targets = block[:, :-1], block[:, 1:]
        left = len(self.tokens) - starts  # tokens from each window's start to the end
        if len(left) and left.min() <= self.seq_len:
            inside = np.arange(self.seq_len + 1) < left[:, None]
            inputs, targets = np.where(inside, block, self.pad_id)[:, :-1], np.where(inside, block, IGNORE)[:, 1:]
        return Batch(inputs, targets)


class TokenReader:
    """Batches of a tokens folder.

    ``batch(round, step, rows)`` is random access into the training order; ``validation_batches(n)`` is fixed.
    Raises ArtifactError for a split that does not fill one batch.
    """

    def __init__(
        self, folder: str | Path, split: str, seq_len: int, batch_size: int, seed: int = 0, verify: bool = False
    ) -> None:
        self.folder, self.split = Path(folder), split
        self.seq_len, self.batch_size, self.seed = seq_len, batch_size, seed
        if verify:
            check_manifest(self.folder, f"{folder}.manifest.json")
        self.meta: dict[str, Any] = read_json(self.folder / "meta.json")
        self.token_bytes = load(self.folder / "token_bytes.bin", "uint16")
        self.chat = self.meta["kind"] == "chat"
        kind: Any = PackedChat if self.chat else TextPart
        self.names = [n for n, part in self.meta["parts"].items() if part[split]["documents"] and part["weight"] > 0]
        self.parts = [
            kind(self.folder, split, name, self.meta, seq_len, key_of(seed, number))
            for number, name in enumerate(self.names)
        ]
        self._refuse_small()
        weights = np.array([self.meta["parts"][name]["weight"] for name in self.names], dtype=np.float64)
        self.shares = shares(weights / weights.sum(), BLOCK)

    def _refuse_small(self) -> None:
        rows = sum(part.rows for part in self.parts)
        need = self.batch_size if self.split == "train" else 1
        if rows < need or any(part.rows == 0 for part in self.parts):
            sizes = ", ".join(f"{name}: {part.rows}" for name, part in zip(self.names, self.parts, strict=True))
            raise ArtifactError(
                f"{self.folder}: the {self.split} split gives {rows} rows of {self.seq_len} tokens ({sizes}), a batch "
                f"needs {need}; lower batch_size or seq_len, or add documents"
            )

    @property
    def rows_per_epoch(self) -> int:
        """Rows of all parts in one pass (chat: of the first epoch)."""
        return sum(part.rows for part in self.parts)

    @functools.cached_property
    def bytes_per_token(self) -> float:
        """Mean bytes of text that a token under loss stands for in this split."""
        return float(self.meta[f"{self.split}_bytes"] / self.meta[f"{self.split}_loss_tokens"])

    def count_bytes(self, targets: Ints) -> int:
        """Bytes of text that these targets stand for: the denominator of exact bits per byte."""
        return int(self.token_bytes[targets[targets != IGNORE]].sum(dtype=np.int64))

    @functools.lru_cache(maxsize=8)  # noqa: B019 - the reader lives as long as the process
    def _deal(self, round: int, block: int) -> tuple[Ints, Ints]:
        """For each row of a block: its part, and its rank among the block's rows of that part."""
        order = permute(np.arange(BLOCK), BLOCK, key_of(self.seed, round, block, 1))
        parts = np.repeat(np.arange(len(self.shares)), self.shares)[order]
        ranks = np.zeros(BLOCK, dtype=np.int64)
        for number in range(len(self.shares)):
            at = parts == number
            ranks[at] = np.arange(at.sum())
        return parts, ranks

    def batch(self, round: int, step: int, rows: slice | None = None) -> Batch:
        """The batch of a step (or only some of its rows): inputs, targets [B, T] int64."""
        numbers = np.arange(step * self.batch_size, (step + 1) * self.batch_size)[rows or slice(None)]
        part = np.empty_like(numbers)
        order = np.empty_like(numbers)
        for block in np.unique(numbers // BLOCK):
            at = numbers // BLOCK == block
            parts, ranks = self._deal(round, int(block))
            place = numbers[at] % BLOCK
            part[at] = parts[place]
            order[at] = int(block) * self.shares[parts[place]] + ranks[place]
        used = [int(number) for number in np.unique(part)]
        if len(used) == 1:
            return self.parts[used[0]].shuffled(round, order)
        pieces = [self.parts[number].shuffled(round, order[part == number]) for number in used]
        return merge(pieces, np.concatenate([np.flatnonzero(part == number) for number in used]))

    def validation_batches(self, n: int) -> Iterator[Batch]:
        """At most ``n`` fixed batches, rows spread evenly over each part; the last may be smaller."""
        budget = n * self.batch_size * self.shares / BLOCK
        chosen = []
        for part, share in zip(self.parts, budget, strict=True):
            count = min(part.rows, max(1, round(float(share))))
            chosen.append(part.read(np.arange(count) * part.rows // count))
        everything = merge(chosen, np.arange(sum(len(c.inputs) for c in chosen)))
        for start in range(0, min(len(everything.inputs), n * self.batch_size), self.batch_size):
            rows = slice(start, start + self.batch_size)
            documents = everything.documents
            yield Batch(
                everything.inputs[rows], everything.targets[rows], None if documents is None else documents[rows]
            )


def merge(pieces: list[Batch], places: Ints) -> Batch:
    """Rows of several pieces, each put in its place."""

    def put(arrays: list[Ints]) -> Ints:
        joined = np.concatenate(arrays)
        whole = np.empty_like(joined)
        whole[places] = joined
        return whole

    documents = [piece.documents for piece in pieces if piece.documents is not None]
    inputs, targets = put([piece.inputs for piece in pieces]), put([piece.targets for piece in pieces])
    return Batch(inputs, targets, put(documents) if documents else None)


def shares(weights: NDArray[np.float64], total: int) -> Ints:
    """Integers that sum to ``total`` in proportion to the weights (largest remainder), none of them 0."""
    exact = weights * total
    out = np.maximum(np.floor(exact), 1).astype(np.int64)
    rest = exact - np.floor(exact)
    for index in np.argsort(-rest, kind="stable")[: max(total - int(out.sum()), 0)]:
        out[index] += 1
    out[int(out.argmax())] += total - int(out.sum())
    return out


def load(path: Path, dtype: str) -> Any:
    """A memory-mapped array; an empty file gives an empty array."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; make it with the stage 'tokenize'")
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)  # a plain array slices faster
