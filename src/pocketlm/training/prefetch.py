"""The next batch is read by a thread while the device works on this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from pocketlm.training.job import Batch, Reader


class Prefetch:
    """Batches of a reader; ``get(index, following)`` begins to read ``following``.

    A batch is a pure function of its number, so a guess that turns out wrong (the first of a round, a resume) costs
    time only, and nothing of what was read ahead belongs to the state of a training. On CUDA the batch lies in pinned
    memory, from which it is copied while the GPU computes. An error of the reader is raised where its batch is asked
    for.
    """

    def __init__(self, reader: Reader, device: torch.device) -> None:
        self.reader, self.pin = reader, device.type == "cuda"
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self.ahead: tuple[int, Future[Batch]] | None = None

    def get(self, index: int, following: int | None) -> Batch:
        """Batch ``index``; ``following`` is the one that will be asked for next, None at the end."""
        batch: Callable[[], Batch]
        if self.ahead is not None and self.ahead[0] == index:
            batch = self.ahead[1].result
        else:
            batch = self.pool.submit(self._read, index).result  # one thread only reads: readers keep caches
        found = batch()
        self.ahead = None if following is None else (following, self.pool.submit(self._read, following))
        return found

    def close(self) -> None:
        """Wait for what is being read."""
        self.pool.shutdown(cancel_futures=True)

    def _read(self, index: int) -> Batch:
        batch = Batch.of(self.reader.batch(0, index))
        if not self.pin:
            return batch
        return Batch(*(None if tensor is None else tensor.pin_memory() for tensor in batch))  # type: ignore[arg-type]
