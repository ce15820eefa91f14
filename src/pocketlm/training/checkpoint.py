"""Checkpoints that survive a kill at any instant: atomic, with checksums beside, the two newest kept.

They lie outside every declared output, in ``results/checkpoints/<phase>-<model>-<key><layout>/``; the key hashes all
that determines the training (``key``), so that a changed parameter, corpus or formula never resumes from a stale one.
``<layout>`` (``-ddp2``, ``-fsdp4``) tells how many processes trained. A model that each rank holds whole is one file, a
sharded one a folder (``checkpoint_folder``); each is read whatever the layout of the reader.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketlm import artifacts
from pocketlm.training import checkpoint_file
from pocketlm.training.parallel import Alone

KEEP = 2
NAME = re.compile(r"step-(\d{9})(\.pt)?")
LAYOUT = re.compile(r"-(ddp|fsdp)\d+$")
ANY = "POCKETLM_RESUME"  # =any: go on from a checkpoint of another layout
SHARE, GRACE = 0.02, 2.0  # of the time that a training takes, checkpoints get this share, or so many seconds


def layout(world_size: int, parallel: str) -> str:
    """The end of a checkpoint folder's name; empty for a single process."""
    return "" if world_size == 1 else f"-{parallel}{world_size}"


class Checkpoints:
    """The checkpoints of one training in ``folder``. ``say`` tells the user what was found damaged."""

    def __init__(self, folder: str | Path, say: Any = print, parallel: Alone | None = None) -> None:
        self.folder, self.say = Path(folder), say
        self.parallel = parallel or Alone(None)  # type: ignore[arg-type]
        self.speaks = parallel is None or parallel.runtime.rank == 0
        self.began, self.spent, self.last = time.perf_counter(), 0.0, 0.0

    def files(self) -> list[Path]:
        """Checkpoints (files or folders), newest first."""
        return entries(self.folder)

    def affordable(self) -> bool:
        """Whether one more keeps within ``SHARE`` of the time; all ranks hear the same."""
        limit = max(GRACE, SHARE * (time.perf_counter() - self.began))
        return self.parallel.agreed(self.speaks and self.spent + self.last <= limit)

    def save(self, step: int, facts: dict[str, Any], tensors: Mapping[str, Tensor] | None = None) -> Path:
        """Write the checkpoint of ``step``, then drop what is older than the two newest. Called by all ranks.

        ``facts`` are plain data. Raises ArtifactError on a full disk; the checkpoints before are intact then.
        """
        began = time.perf_counter()
        if self.speaks:
            self._clear_leftovers()  # first: their room may be needed
        path = self.folder / f"step-{step:09d}"
        if self.parallel.sharded:
            from pocketlm.training import checkpoint_folder

            checkpoint_folder.save(path, facts, dict(tensors or {}), self.parallel)
        else:
            path = path.with_suffix(".pt")
            if self.speaks:
                digest = checkpoint_file.save(path, facts | {"tensors": dict(tensors or {})})
                artifacts.write_text(path.with_suffix(".sha256"), digest + "\n")
        if self.speaks:
            for old in self.files()[KEEP:]:
                remove(old)
        self.last = time.perf_counter() - began
        self.spent += self.last
        return path

    def load(self, into: dict[str, Tensor] | None = None) -> dict[str, Any] | None:
        """The facts of the newest sound checkpoint, or None; its tensors are copied to those of the same name.

        A damaged one is named and removed, and the one before is used. Raises ArtifactError naming the difference
        where a checkpoint's tensors are of another architecture. Called by all ranks.
        """
        found = self.files() or self._of_another_layout()
        if self.parallel.agreed(bool(found)) != bool(found):
            raise artifacts.ArtifactError(
                f"{self.folder}: not every rank sees it; put the run on a file system that all nodes share"
            )
        for path, before in zip(found, [*found[1:], None]):
            reason = self._damage(path) if self.speaks else None
            if not self.parallel.agreed(reason is not None):
                return self._read(path, into)
            if self.speaks:
                then = "going on from the one before it" if before else "there is none before it: beginning anew"
                self.say(f"checkpoint {path} is damaged ({reason}); {then}")
                remove(path)
        return None

    def _read(self, path: Path, into: dict[str, Tensor] | None) -> dict[str, Any]:
        if path.is_dir():
            from pocketlm.training import checkpoint_folder

            return checkpoint_folder.load(path, into)
        return checkpoint_file.load(path, into)

    def _of_another_layout(self) -> list[Path]:
        """Checkpoints of the same training by other processes: used only where the user says so, as bytes differ."""
        others = [path for other in self._siblings() for path in entries(other)]
        others.sort(key=lambda path: (path.stem, path), reverse=True)
        if not others or os.environ.get(ANY) == "any":
            return others
        self.say(
            f"there is {others[0]}, of other numerics.world_size or parallel; beginning anew, so that the result is "
            f"what these numerics always give. To go on from there instead: {ANY}=any"
        )
        return []

    def _siblings(self) -> list[Path]:
        stem = LAYOUT.sub("", self.folder.name)
        found = self.folder.parent.glob(f"{stem}*") if self.folder.parent.is_dir() else []
        return [p for p in sorted(found) if p != self.folder and LAYOUT.sub("", p.name) == stem]

    def _clear_leftovers(self) -> None:
        """What a process left that was killed while writing."""
        for leftover in self.folder.glob(".*.partial"):
            remove(leftover)

    @staticmethod
    def _damage(path: Path) -> str | None:
        if path.is_dir():
            from pocketlm.training import checkpoint_folder

            return checkpoint_folder.damage(path)
        return checkpoint_file.damage(path)

    def remove(self) -> None:
        """Remove this training's checkpoints and those of the same training under other keys and layouts."""
        stem = LAYOUT.sub("", self.folder.name).rpartition("-")[0]
        for other in self.folder.parent.glob(f"{stem}-*"):
            if re.fullmatch(re.escape(stem) + r"-[0-9a-f]{16}", LAYOUT.sub("", other.name)):
                shutil.rmtree(other, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def entries(folder: Path) -> list[Path]:
    """Checkpoints in a folder, newest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if NAME.fullmatch(p.name)), reverse=True)


def remove(path: Path) -> None:
    """Remove one checkpoint, or a half of one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    path.with_suffix(".sha256").unlink(missing_ok=True)


def key(inputs: dict[str, Any]) -> str:
    """16 hex digits that identify a training: its inputs (plain data), torch's version and the code that trains."""
    import pocketlm

    root = Path(pocketlm.__file__).parent
    rooms = sorted(p for room in ("training", "model", "data") for p in (root / room).glob("*.py"))
    sources = [*rooms, root / "numerics.py"]
    code = {p.relative_to(root).as_posix(): _meaning(p.read_text(encoding="utf-8")) for p in sources}
    return artifacts.digest({"inputs": inputs, "torch": torch.__version__, "code": code})[:16]


def _meaning(source: str) -> str:
    """Hash of a source's syntax tree without comments and docstrings: a cosmetic edit costs no training."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body.pop(0)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
