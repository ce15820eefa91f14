"""Objects of DVC's cache that no ``dvc.lock`` names: not in the workspace, in a commit or in an experiment.

``dvc gc`` goes by ``dvc.yaml`` and so drops what a lock still names after its entry left params.yaml; here locks count.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm.artifacts import ArtifactError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

EVERYWHERE: dict[str, bool] = {"all_commits": True, "all_experiments": True}  # and the workspace


def unused(folder: Path, apply: bool) -> tuple[int, int]:
    """(number, bytes) of the cached objects that nothing names; they are removed where ``apply``.

    Raises ArtifactError with DVC's own words, or where the cache is shared with other repositories.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo(str(folder)) as repo, repo.lock:
            need_own_cache(repo)
            used = named(repo)
            files = [path for oid, path in objects(repo.cache.local) if oid not in used]
            size = sum(path.stat().st_size for path in files)
            for path in files if apply else []:
                path.chmod(0o644)  # objects are read-only, which some file systems take for undeletable
                path.unlink()
    except DvcException as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise ArtifactError(f"dvc: {error}{cause}; nothing was freed in the cache") from None
    return len(files), size


def need_own_cache(repo: Repo) -> None:
    """Raise ArtifactError where other repositories may use the cache: their locks are not known here."""
    path, root = Path(repo.cache.local_cache_dir).resolve(), Path(repo.root_dir).resolve()
    if not path.is_relative_to(root):
        raise ArtifactError(
            f"{path}: the cache lies outside {root}, so that other projects may need what this one does not; left "
            "alone (where you know them all: dvc gc --workspace --all-commits --all-experiments --projects PATH ...)"
        )


def objects(odb: HashFileDB) -> Iterator[tuple[str, Path]]:
    """(hash, file) of each object in a store."""
    for oid in odb.all():
        yield oid, Path(odb.oid_to_path(oid))


def named(repo: Repo) -> set[str]:
    """Hashes of all objects that a lock or a .dvc file names anywhere, with the members of folders."""
    used = {found.value for group in repo.used_objs(**EVERYWHERE).values() for found in group}
    for _ in repo.brancher(**EVERYWHERE):
        for path in {os.path.join(os.path.dirname(stage.path), "dvc.lock") for stage in repo.index.stages}:
            used |= {out["md5"] for out in outs(repo, path) if "md5" in out}
    return used | {member for oid in sorted(used) if oid and oid.endswith(".dir") for member in members(repo, oid)}


def outs(repo: Repo, path: str) -> Iterator[dict[str, Any]]:
    """Outputs of a lock in the file system that DVC looks at: the workspace or a commit."""
    from dvc.dvcfile import Lockfile

    for stage in Lockfile(repo, path).load().get("stages", {}).values():
        yield from stage.get("outs", [])


def members(repo: Repo, oid: str) -> list[str]:
    """Hashes of the files of a recorded folder; none where its list is not in the cache."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    try:
        tree = Tree.load(repo.cache.local, HashInfo("md5", oid))
    except FileNotFoundError:
        return []
    return [entry.value for _, _, entry in tree if entry and entry.value]
