"""Whether every byte that ``dvc.lock`` names is still what it was, in the workspace and in the cache.

DVC trusts time and size of a file that it has hashed once; here every byte is read, so that a flipped bit is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.engines import store


def md5(path: Path) -> str:
    """Hex md5 of a file's bytes, DVC's name for them."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def lock(folder: Path) -> dict[str, Any]:
    """The stages of a run folder's dvc.lock. Raises ArtifactError where it is missing or not readable."""
    import yaml

    path = folder / "dvc.lock"
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; record the run first: pocketlm record {folder}")
    text = path.read_text(encoding="utf-8")
    if "<<<<<<<" in text:
        raise ArtifactError(
            f"{path}: a merge left conflicts in it; take one side (git checkout --ours {path.name}), "
            "then: dvc checkout, pocketlm sync, snakemake, pocketlm record"
        )
    return dict((yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}).get("stages", {}))


def outs(folder: Path) -> list[dict[str, Any]]:
    """The recorded outputs of a run folder: path, md5, size."""
    return [out for stage in lock(folder).values() for out in stage.get("outs", [])]


def cache_file(cache: Path, name: str) -> Path:
    """Where DVC keeps the object of an md5."""
    return cache / "files" / "md5" / name[:2] / name[2:]


def members(cache: Path, out: dict[str, Any]) -> list[tuple[str, str]]:
    """[(path, md5)] of an output: itself, or the files that a folder's cached listing names."""
    if not out["md5"].endswith(".dir"):
        return [(out["path"], out["md5"])]
    listing = cache_file(cache, out["md5"])
    if not listing.is_file():
        return []
    return [(f"{out['path']}/{entry['relpath']}", entry["md5"]) for entry in json.loads(listing.read_text())]


def spoiled(name: str, path: str) -> str:
    """What to do about a cached object that is not what its name says."""
    return f"cache object {name} ({path}): its bytes changed; delete it, then: dvc pull, or make it again"


def damaged(folder: Path) -> Iterator[str]:
    """A line for each artefact or cached object whose bytes are not those that the lock names."""
    cache = store.cache(folder)
    seen: set[str] = set()
    for out in outs(folder):
        listing = cache_file(cache, out["md5"])
        if listing.is_file() and listing.suffix == ".dir" and f"{md5(listing)}.dir" != out["md5"]:
            yield spoiled(out["md5"], out["path"])
            continue
        for path, name in members(cache, out):
            found, kept = folder / path, cache_file(cache, name)
            if found.is_file() and md5(found) != name:
                yield f"{path}: changed since it was recorded; restore it: dvc checkout {out['path']}"
            if name not in seen and kept.is_file() and md5(kept) != name:
                yield spoiled(name, path)
            seen.add(name)
