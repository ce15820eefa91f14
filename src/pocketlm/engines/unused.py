"""Objects of DVC's cache that no ``dvc.lock`` names: not in the workspace, in a commit or in an experiment.

``dvc gc`` goes by ``dvc.yaml`` and so drops what a lock still names after its entry left params.yaml; here locks count.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlm.artifacts import ArtifactError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

LOCKS = ("*dvc.lock", "*.dvc")  # as git matches them: in any folder
LOG = ("-c", "log.showRoot=true", "log", "--all", "--full-history", "-m", "--raw", "--no-renames", "--no-abbrev")


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
    """Hashes of all objects that a lock or a .dvc file names anywhere, with the members of folders.

    Raises ArtifactError where a folder's listing was here and is gone.
    """
    # force: else DVC gives up at the first folder of another clone's run that was never here
    used = {found.value for group in repo.used_objs(force=True).values() for found in group}
    for text in (*workspace(repo), *history(repo)):
        recorded = outs(text)
        need_listings(repo, recorded)
        used |= set(recorded.values())
    return used | {member for oid in sorted(used) if oid and oid.endswith(".dir") for member in members(repo, oid)}


def workspace(repo: Repo) -> Iterator[bytes]:
    """The locks and .dvc files of the workspace."""
    folders = {os.path.dirname(stage.path) for stage in repo.index.stages}
    for path in {os.path.join(folder, "dvc.lock") for folder in folders} | {s.path for s in repo.index.stages}:
        if path.endswith(("dvc.lock", ".dvc")) and os.path.isfile(path):
            yield Path(path).read_bytes()


def history(repo: Repo) -> Iterator[bytes]:
    """Every version of a lock or .dvc file in a commit of any branch, tag or experiment, once each.

    From git itself: DVC builds its index anew for each commit, minutes for some hundred.
    """
    from dvc.scm import NoSCM

    if isinstance(repo.scm, NoSCM):
        return
    git = ["git", "-C", repo.scm.root_dir]
    log = subprocess.run([*git, *LOG, "--format=", "--", *LOCKS], check=True, capture_output=True, text=True).stdout
    names = {line.split()[3] for line in log.splitlines() if line.startswith(":")}
    for name in sorted(name for name in names if name.strip("0")):
        yield subprocess.run([*git, "cat-file", "blob", name], check=True, capture_output=True).stdout


def need_listings(repo: Repo, recorded: dict[str, str]) -> None:
    """Raise ArtifactError for a folder of a lock, {path: md5}, that was here, as its manifest is, without its listing.

    Nothing else tells which objects are its members.
    """
    cache = repo.cache.local
    for path, oid in recorded.items():
        manifest = recorded.get(f"{path}.manifest.json")
        if oid.endswith(".dir") and not cache.exists(oid) and (manifest is None or cache.exists(manifest)):
            raise ArtifactError(
                f"{path}: the list of its files is not in the cache, so that what it needs there is not known; get it "
                "back (dvc pull, or pocketlm run); nothing was freed in the cache"
            )


def outs(text: bytes) -> dict[str, str]:
    """{path: md5} of what a lock or a .dvc file records."""
    import yaml

    try:
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise ArtifactError(f"a dvc.lock or .dvc file, here or in a commit, is not readable: {where}") from None
    if not isinstance(data, dict):  # a file of someone else's that ends in .dvc
        return {}
    found = [out for stage in (data.get("stages") or {}).values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in [*found, *data.get("outs", [])] if "md5" in out}


def members(repo: Repo, oid: str) -> list[str]:
    """Hashes of the files of a recorded folder; none where its list is not in the cache."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    try:
        tree = Tree.load(repo.cache.local, HashInfo("md5", oid))
    except FileNotFoundError:
        return []
    return [entry.value for _, _, entry in tree if entry and entry.value]
