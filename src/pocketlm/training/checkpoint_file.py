"""A checkpoint as one file (``torch.save``) with its sha256 beside: every tensor whole."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from pocketlm import artifacts
from pocketlm.model.state import check_state


class _Hashed:
    """A stream that hashes what is written, and remembers the error that torch hides behind one of its own."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.sha = stream, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        self.sha.update(data)
        try:
            return self.stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.stream.flush()


def save(path: Path, state: dict[str, Any]) -> str:
    """Write ``state`` to ``path`` atomically; returns the sha256 of its bytes. ArtifactError on a full disk."""
    with artifacts.atomic_path(path) as temporary, temporary.open("wb") as stream:
        hashed = _Hashed(stream)
        try:
            torch.save(state, hashed)  # type: ignore[arg-type]
        except RuntimeError:
            if hashed.error is not None:
                raise hashed.error from None
            raise
    return hashed.sha.hexdigest()


def damage(path: Path) -> str | None:
    """What is wrong with the file; None where its bytes are those that were written."""
    sidecar = path.with_suffix(".sha256")
    if not sidecar.is_file():
        return "its checksum was not written"
    want, have = sidecar.read_bytes().decode(errors="replace").strip(), artifacts.sha256(path)
    if not re.fullmatch("[0-9a-f]{64}", want):
        return "its checksum is damaged"
    return None if want == have else f"expected sha256 {want[:12]}, found {have[:12]}"


def load(path: Path, into: dict[str, Tensor] | None) -> dict[str, Any]:
    """The facts of a checkpoint; its tensors are copied into those of ``into``, of a sharded one only this rank's rows.

    Tensors and plain data only: torch refuses any other object. Raises ArtifactError for another architecture.
    """
    facts: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    tensors = facts.pop("tensors")
    if into is not None:
        check_state(tensors, {name: tuple(tensor.shape) for name, tensor in into.items()}, f"checkpoint {path}")
        for name, tensor in into.items():
            copy_rows(tensor, tensors[name])
    return facts


def copy_rows(target: Tensor, whole: Tensor) -> None:
    """Copy ``whole`` into ``target``, or into this rank's shard of it."""
    sharded: Any = target if hasattr(target, "device_mesh") else None  # a DTensor, whose import takes a second
    if sharded is None:
        target.copy_(whole)
        return
    shards, rank = whole.chunk(sharded.device_mesh.size()), sharded.device_mesh.get_local_rank()
    if rank < len(shards):  # else the shard is empty
        sharded.to_local().copy_(shards[rank])
