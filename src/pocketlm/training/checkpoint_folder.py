"""A checkpoint as a folder: shards by torch.distributed.checkpoint (DCP), each rank its own, with checksums.

The folder is renamed to its name when every rank has written: what is there is whole. DCP finds the shards that a
reader needs, whatever the number of ranks. Its file ``.metadata`` is a pickle that DCP loads without restraint; here
only the plain records are let through that such a file consists of (``_Records``). The tensors are read weights-only.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from pocketlm import artifacts
from pocketlm.artifacts import ArtifactError
from pocketlm.model.state import check_state
from pocketlm.training.parallel import Alone

FACTS, SUMS = "facts.json", ".sha256"
DCP = "torch.distributed.checkpoint."
RECORDS = {
    DCP + "metadata": "Metadata MetadataIndex TensorStorageMetadata BytesStorageMetadata ChunkStorageMetadata "
    "TensorProperties StorageMeta _MEM_FORMAT_ENCODING",
    DCP + "filesystem": "_StorageInfo _StoragePrefix",
    "torch": "Size",
    "torch.serialization": "_get_layout",
    "pathlib": "PosixPath",
    "collections": "OrderedDict",
}


class _Records(pickle.Unpickler):
    """Unpickles what DCP's metadata is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if dtype or name.partition(".")[0] in RECORDS.get(module, "").split():
            return super().find_class(module, name)
        raise ArtifactError(
            f".metadata names {module}.{name}, which no checkpoint of ours holds; delete the checkpoint"
        )


class Reader(dcp.FileSystemReader):
    """DCP's reader, with ``_Records`` for its metadata."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with (Path(self.path) / ".metadata").open("rb") as stream:
            metadata: Metadata = _Records(stream).load()
        if metadata.storage_meta is not None:
            metadata.storage_meta.load_id = self.load_id
        return metadata


def save(path: Path, facts: dict[str, Any], tensors: dict[str, Tensor], parallel: Alone) -> None:
    """Write the folder ``path``; called by all ranks. ArtifactError on a full disk, on the ranks that found it full."""
    partial, rank = path.with_name(f".{path.name}.partial"), parallel.runtime.rank
    if rank == 0:
        partial.mkdir(parents=True)
        artifacts.write_json(partial / FACTS, facts | {"ranks": parallel.runtime.world_size})
    parallel.agreed(True)  # all wait for the folder
    with named_errors(path):
        dcp.save(tensors, storage_writer=dcp.FileSystemWriter(partial))
        own = sorted(partial.glob(f"__{rank}_*")) + ([partial / FACTS, partial / ".metadata"] if rank == 0 else [])
        artifacts.write_json(partial / f"{rank}{SUMS}", {file.name: artifacts.sha256(file) for file in own})
    parallel.agreed(True)  # all have written
    if rank == 0:
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    parallel.agreed(True)


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """A full disk as one sentence; DCP wraps each rank's error into one of its own."""
    try:
        yield
    except CheckpointException as error:
        causes = [failure[0] for failure in error.failures.values()]
        full = next((e for e in causes if isinstance(e, OSError) and e.errno in artifacts.FULL), None)
        written = [str(e) for e in causes if "file write failed" in str(e) or "PytorchStreamWriter" in str(e)]
        if full is not None or written:
            what = artifacts.FULL[full.errno or errno.ENOSPC] if full is not None else "the disk took no more"
            raise ArtifactError(f"{path}: {what}; nothing was written under this name") from None
        raise ArtifactError(f"{path}: not written: {causes[0]!r}") from error


def damage(path: Path) -> str | None:
    """What is wrong with the folder; None where its bytes are those that were written."""
    sums: dict[str, str] = {}
    for sidecar in sorted(path.glob(f"*{SUMS}")):
        try:
            sums |= dict(json.loads(sidecar.read_bytes()))
        except (ValueError, TypeError):  # no JSON, no text, no table
            return f"its checksums in {sidecar.name} are damaged"
    if FACTS not in sums:
        return "its checksums were not written"
    found = {file.name for file in path.iterdir() if file.suffix != SUMS}
    if odd := sorted(found ^ sums.keys()):
        return f"{odd[0]} is {'there without a checksum' if odd[0] in found else 'missing'}"
    bad = [name for name, sha in sorted(sums.items()) if artifacts.sha256(path / name) != sha]
    return f"{bad[0]} is not what was written" if bad else None


def load(path: Path, into: dict[str, Tensor] | None) -> dict[str, Any]:
    """The facts of a checkpoint; its tensors are read into those of ``into``, of which each rank may hold a shard."""
    facts: dict[str, Any] = artifacts.read_json(path / FACTS)
    if into is not None:
        reader = Reader(path)
        theirs = reader.read_metadata().state_dict_metadata
        shapes = {
            n: torch.empty(m.size, device="meta") for n, m in theirs.items() if isinstance(m, TensorStorageMetadata)
        }
        check_state(shapes, {name: tuple(tensor.shape) for name, tensor in into.items()}, f"checkpoint {path}")
        dcp.load(into, storage_reader=reader, no_dist=True)
    return facts
