"""Whether every byte that ``dvc.lock`` names is still what it was, in the workspace and in the cache.

DVC trusts time and size of a file that it has hashed once; here every byte is read, so that a flipped bit is named.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import IGNORED, ArtifactError, read_json, sha256
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
            f"{path}: a merge left conflicts in it; take one side (git checkout --ours {shlex.quote(str(path))}), "
            "then: dvc checkout, pocketlm sync, snakemake, pocketlm record"
        )
    return dict((yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}).get("stages", {}))


def outs(folder: Path) -> list[dict[str, Any]]:
    """The recorded outputs of a run folder: path, md5, size. The lock may also hold stages that are gone."""
    import yaml

    path, stages = folder / "dvc.yaml", lock(folder)
    if path.is_file():
        now = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
        stages = {name: stage for name, stage in stages.items() if name in now.get("stages", {})}
    return [out for stage in stages.values() for out in stage.get("outs", [])]


def cache_file(cache: Path, name: str) -> Path:
    """Where DVC keeps the object of an md5."""
    return cache / "files" / "md5" / name[:2] / name[2:]


def is_folder(out: dict[str, Any]) -> bool:
    """Whether an output is a folder: DVC's name for it is the md5 of its listing."""
    return bool(out["md5"].endswith(".dir"))


def listing(cache: Path, out: dict[str, Any]) -> dict[str, str]:
    """{member: md5} of a folder by DVC's listing; empty where the cache lacks it or it is spoiled."""
    path = cache_file(cache, out["md5"])
    if not path.is_file() or f"{md5(path)}.dir" != out["md5"]:
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_text())}


def spoiled(cache: Path, objects: dict[str, str]) -> Iterator[str]:
    """A line for each cached object, {md5: path}, that is not what its name says. One that is absent is no harm."""
    for name, path in objects.items():
        kept = cache_file(cache, name)
        if kept.is_file() and md5(kept) != name.removesuffix(".dir"):
            yield f"cache object {name} ({path}): its bytes changed; delete it, then: dvc pull, or make it again"


def missing(folder: Path, path: str) -> str:
    """The line for a missing artefact."""
    again = shlex.join(["pocketlm", "run", str(folder)])
    return f"{path}: is missing; restore it (dvc pull, git checkout), or make it again: {again}"


def changed(folder: Path, path: str, out: dict[str, Any]) -> str:
    """The line for a changed file of an output; the output is removed first, as DVC may hold it for unchanged."""
    place = shlex.quote(str(folder / out["path"]))
    kept = cache_file(store.cache(folder), out["md5"]).is_file()
    then = f"dvc checkout {place}" if kept else shlex.join(["pocketlm", "run", str(folder)])
    return f"{path}: changed since it was recorded; bring it back: rm -r {place} && {then}"


def changed_file(folder: Path, out: dict[str, Any]) -> Iterator[str]:
    """A line for a file that is missing or not as recorded."""
    path = folder / out["path"]
    if not path.is_file():
        yield missing(folder, out["path"])
    elif md5(path) != out["md5"]:
        yield changed(folder, out["path"], out)


def changed_folder(folder: Path, out: dict[str, Any], wanted: dict[str, str]) -> Iterator[str]:
    """A line for each member that is missing, too many, or not as recorded.

    ``wanted`` is DVC's listing; without it, the manifest beside the folder tells, itself a recorded file.
    """
    place, manifest, name_of = folder / out["path"], folder / f"{out['path']}.manifest.json", md5
    if not place.is_dir():
        yield missing(folder, out["path"])
        return
    if not wanted:
        if not manifest.is_file():
            yield f"{out['path']}: nothing is there to check it by, neither DVC's listing nor a manifest; dvc fetch"
            return
        wanted, name_of = read_json(manifest)["files"], sha256
    files = (path for path in place.rglob("*") if path.is_file() and path.name not in IGNORED)
    found = {path.relative_to(place).as_posix(): path for path in files}
    for member in sorted(wanted.keys() | found.keys()):
        path = f"{out['path']}/{member}"
        if member not in found:
            yield missing(folder, path)
        elif member not in wanted:
            yield f"{path}: was not recorded; remove it"
        elif name_of(found[member]) != wanted[member]:
            yield changed(folder, path, out)


def damaged(folder: Path) -> Iterator[str]:
    """A line for each artefact or cached object that is not what the lock names: changed, missing or too many."""
    cache = store.cache(folder)
    objects: dict[str, str] = {}
    for out in outs(folder):
        objects.setdefault(out["md5"], out["path"])
        if is_folder(out):
            members = listing(cache, out)
            for member, name in members.items():
                objects.setdefault(name, f"{out['path']}/{member}")
            yield from changed_folder(folder, out, members)
        else:
            yield from changed_file(folder, out)
    yield from spoiled(cache, objects)
