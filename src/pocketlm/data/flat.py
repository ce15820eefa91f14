"""A flat file of numbers, read by position.

Not a memory map: the pages that one touches stay with the process and add up to the size of the file, whereas what is
read here belongs to the system's cache, so that a process needs the same memory for any size of corpus.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pocketlm.artifacts import ArtifactError
from pocketlm.data.shuffle import Ints


class Flat:
    """``flat[a:b]`` and ``flat[i]`` as of an array; ``rows`` for many places at once. Threads may share one."""

    def __init__(self, path: Path, dtype: str) -> None:
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file; make it with the stage 'tokenize'")
        self.path, self.dtype = path, np.dtype(dtype)
        self.stream = path.open("rb", buffering=0)
        self.size = os.fstat(self.stream.fileno()).st_size // self.dtype.itemsize
        if hasattr(os, "posix_fadvise"):  # rows lie anywhere: reading ahead of one fetches what is not wanted
            os.posix_fadvise(self.stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int | slice) -> Any:
        if not isinstance(place, slice):
            return self[place : place + 1][0]
        start, stop, _ = place.indices(self.size)
        wanted = max(0, stop - start) * self.dtype.itemsize
        found = os.pread(self.stream.fileno(), wanted, start * self.dtype.itemsize) if wanted else b""
        if len(found) != wanted:
            raise ArtifactError(f"{self.path}: shorter than it was when it was opened; tokenize again")
        return np.frombuffer(found, dtype=self.dtype)

    def rows(self, starts: Ints, count: int) -> Ints:
        """int64 [len(starts), count]: ``count`` numbers from each start; 0 behind the end of the file."""
        out = np.zeros((len(starts), count), dtype=np.int64)
        for row, start in zip(out, starts.tolist(), strict=True):
            found = self[start : start + count]
            row[: len(found)] = found
        return out
