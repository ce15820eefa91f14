"""The mirror (``POCKETLM_MIRROR``) and the download cache (``POCKETLM_CACHE``): files looked up by content.

A mirror is any folder; a file in it is found by its sha256, whatever its name. Hashes are remembered in the cache by
path, size and time of change, so that a large mirror is read once.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from pocketlm.artifacts import ArtifactError, sha256, write_json


def cache_folder() -> Path:
    """``POCKETLM_CACHE``, or the user's cache folder."""
    given = os.environ.get("POCKETLM_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given).expanduser() if given else Path(base).expanduser() / "pocketlm"


def mirror_folder() -> Path | None:
    """``POCKETLM_MIRROR``, if it is set; a folder that does not exist is an error."""
    given = os.environ.get("POCKETLM_MIRROR")
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise ArtifactError(f"POCKETLM_MIRROR names {folder.absolute()}, which is no folder; correct or unset it")
    return folder


class Mirror:
    """Content lookup in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = cache_folder() / "mirror-index.json"
        self.known: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError):
            self.known = json.loads(self.index.read_text(encoding="utf-8"))

    def _sha256(self, path: Path) -> str:
        stat = path.stat()
        key, stamp = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        entry = self.known.get(key)
        if not isinstance(entry, list) or entry[:2] != stamp:
            entry = self.known[key] = [*stamp, sha256(path)]
        return str(entry[2])

    def find(self, digest: str, name: str = "") -> Path | None:
        """A file with these bytes; files of the expected name are tried first, so most of them are never read."""
        files = (p for p in self.folder.rglob("*") if p.is_file() and not p.name.endswith(".partial"))
        before = len(self.known)
        try:
            for path in sorted(files, key=lambda p: (p.name != name, str(p))):
                with contextlib.suppress(PermissionError):
                    if self._sha256(path) == digest:
                        return path
        finally:
            if len(self.known) != before:
                with contextlib.suppress(OSError, ArtifactError):
                    write_json(self.index, self.known)
        return None


def find_in_mirror(digest: str, name: str) -> Path | None:
    """The mirror's file with this sha256, or None (no mirror, or it is not there)."""
    folder = mirror_folder()
    return Mirror(folder).find(digest, name) if folder else None
