"""Checkpoints that survive a kill at any instant: atomic, with a checksum beside, the two newest kept.

They lie outside every declared output, in ``results/checkpoints/<phase>-<model>-<key>/``; the key hashes all that
determines the training (``key``), so that a changed parameter, corpus or formula never resumes from a stale one.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from pocketlm import artifacts

KEEP = 2
NAME = re.compile(r"step-(\d{9})\.pt")


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


def save_file(path: Path, state: dict[str, Any]) -> str:
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


class Checkpoints:
    """The checkpoints of one training in ``folder``. ``say`` tells the user what was found damaged."""

    def __init__(self, folder: str | Path, say: Callable[[str], None] = print) -> None:
        self.folder, self.say = Path(folder), say

    def files(self) -> list[Path]:
        """Checkpoint files, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((p for p in self.folder.iterdir() if NAME.fullmatch(p.name)), reverse=True)

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write the checkpoint of ``step``, then drop what is older than the two newest."""
        path = self.folder / f"step-{step:09d}.pt"
        for leftover in self.folder.glob(".*.partial"):  # of a process that was killed while writing
            leftover.unlink(missing_ok=True)
        artifacts.write_text(path.with_suffix(".sha256"), save_file(path, state) + "\n")
        for old in self.files()[KEEP:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".sha256").unlink(missing_ok=True)
        return path

    def load(self) -> dict[str, Any] | None:
        """The newest sound checkpoint, or None. A damaged one is named and removed, and the one before is used."""
        for path in self.files():
            reason = self._damage(path)
            if reason is None:
                return dict(torch.load(path, map_location="cpu", weights_only=True))
            self.say(f"checkpoint {path} is damaged ({reason}); going on from the one before it")
            path.unlink(missing_ok=True)
            path.with_suffix(".sha256").unlink(missing_ok=True)
        return None

    @staticmethod
    def _damage(path: Path) -> str | None:
        sidecar = path.with_suffix(".sha256")
        if not sidecar.is_file():
            return "its checksum was not written"
        want, have = sidecar.read_text(encoding="utf-8").strip(), artifacts.sha256(path)
        return None if want == have else f"expected sha256 {want[:12]}, found {have[:12]}"

    def remove(self) -> None:
        """Remove this training's checkpoints and those of the same training under other keys."""
        stem = self.folder.name.rpartition("-")[0]
        for other in self.folder.parent.glob(f"{stem}-*"):
            if re.fullmatch(re.escape(stem) + r"-[0-9a-f]{16}", other.name):
                shutil.rmtree(other, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def key(inputs: dict[str, Any]) -> str:
    """16 hex digits that identify a training: its inputs (plain data), torch's version and the code that trains."""
    import pocketlm

    root = Path(pocketlm.__file__).parent
    sources = sorted(p for room in ("training", "model", "data") for p in (root / room).glob("*.py"))
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
