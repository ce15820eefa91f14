"""``pocketlm gc``: what takes disk and is needed by nothing; ``--apply`` frees it.

Kept is everything that a lock names, in the workspace, in any commit or in any experiment, and every checkpoint of a
training that is not finished. ``--forget`` drops from ``dvc.lock`` what params.yaml has no entry for any more.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.engines import generate, lock, store
from pocketlm.engines.dag import Job, open_dag
from pocketlm.engines.unused import unused

# How the stages name their checkpoints, from the rule and the wildcards of their job.
TRAININGS = {"pretrain": "base", "pretrain_inherited": "base", "instruct": "instruct", "call": "call"}
NOT_ARTEFACTS = {"logs", "benchmarks", "code", "checkpoints"}


@dataclass(frozen=True)
class Spare:
    """A file or folder that nothing needs."""

    path: Path
    size: int  # bytes
    why: str


def size(path: Path) -> int:
    """Bytes of a file or of all files in a folder; a link counts as itself."""
    members = [path] if path.is_symlink() or not path.is_dir() else path.rglob("*")
    return sum(member.lstat().st_size for member in members if member.is_symlink() or member.is_file())


def orphans(folder: Path, needed: set[str]) -> Iterator[Spare]:
    """Files in ``results`` that are not among the needed ones: of an entry that was renamed or removed."""
    made = {folder / path for path in needed}
    inside = {parent for path in made for parent in path.parents}
    queue = sorted((folder / "results").glob("*"))
    while queue:
        path = queue.pop(0)
        if (
            path in made
            or path.name == ".gitignore"
            or (path.name in NOT_ARTEFACTS and path.parent == folder / "results")
        ):
            continue
        if path in inside:
            queue = sorted(path.glob("*")) + queue
        else:
            yield Spare(path, size(path), "no entry of params.yaml makes it")


def recorded(folder: Path, jobs: list[Job]) -> dict[str, list[str]]:
    """{stage: outputs} that the folder's ``dvc.lock`` names and no job of the DAG makes any more."""
    stages = read_lock(folder).get("stages", {})
    gone = stages.keys() - {job.name for job in jobs} - {"code"}
    return {name: [out["path"] for out in stages[name].get("outs", [])] for name in sorted(gone)}


def read_lock(folder: Path) -> dict[str, Any]:
    """The folder's ``dvc.lock`` as plain data; empty without one. Raises ArtifactError if it is not YAML."""
    import yaml

    path = folder / "dvc.lock"
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    except yaml.YAMLError as error:
        raise ArtifactError(f"{path}: not valid YAML: {' '.join(str(error).split())}; docs/reproduce.md") from None


def forget(folder: Path, jobs: list[Job], names: list[str]) -> None:
    """Drop stages from ``dvc.lock``, and from ``dvc.yaml``, which is written anew."""
    from dvc.utils.serialize import modify_yaml

    generate.write(folder, jobs)
    with modify_yaml(str(folder / "dvc.lock")) as data:
        for name in names:
            del data["stages"][name]


def checkpoint(job: Job) -> str:
    """The name of a training's checkpoint folder, up to the key that ends those of models."""
    rule, _, entry = job.name.partition("-")
    if rule == "trial":
        rung, slot = entry.split("-")
        return f"r{rung}-s{slot}"
    return f"{TRAININGS[rule]}-{entry}-" if rule in TRAININGS else rule


def checkpoints(folder: Path, jobs: list[Job]) -> Iterator[Spare]:
    """Checkpoints of trainings that are finished, or that no entry asks for."""
    wanted = {checkpoint(job) for job in jobs if job.needed}
    models = tuple(name for name in wanted if name.endswith("-"))
    for path in sorted((folder / "results" / "checkpoints").glob("*")):
        if path.name not in wanted and not path.name.startswith(models):
            yield Spare(path, size(path), "its training is finished")


def readable(count: int) -> str:
    """1234567 -> '1.2 MiB'."""
    return f"{count / 2**20:,.1f} MiB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm gc``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--apply", action="store_true", help="free it; without this, only show")
    parser.add_argument(
        "--forget", action="store_true", help="also what dvc.lock still names of entries that params.yaml lost"
    )


def run(args: argparse.Namespace) -> None:
    """Show, and free where asked."""
    with lock.alone(args.folder, "pocketlm gc") if args.apply else contextlib.nullcontext():
        show(args.folder, args.apply, args.forget)


def show(folder: Path, apply: bool, forgetting: bool) -> None:
    """Show, and free where asked, in a run folder that nothing else writes to."""
    with open_dag(folder) as dag:
        jobs = dag.jobs
    gone = recorded(folder, jobs)
    kept = {path for paths in ({} if forgetting else gone).values() for path in paths}
    if gone and apply and forgetting:
        forget(folder, jobs, list(gone))
    needed = {path for job in jobs for path in job.outputs} | kept
    spare = [*orphans(folder, needed), *checkpoints(folder, jobs)]
    for item in spare:
        print(f"{readable(item.size):>12}  {item.path}  ({item.why})")
        if apply:
            link = item.path.is_symlink()  # where it leads is not ours
            shutil.rmtree(item.path) if item.path.is_dir() and not link else item.path.unlink()
    if kept:
        print(f"kept: what dvc.lock names of entries that are gone: {', '.join(gone)}; to free it too: --forget")
    cached = show_cache(folder, apply)
    total = readable(sum(item.size for item in spare) + cached)
    print(f"{'freed' if apply else 'can be freed (pocketlm gc --apply)'}: {total}")


def show_cache(folder: Path, apply: bool) -> int:
    """Bytes of the cache's objects that no lock names, shown and freed where asked; a shared cache is left alone."""
    print(f"{readable(size(store.cache(folder))):>12}  DVC cache", end="", flush=True)
    try:
        number, free = unused(folder, apply)
    except ArtifactError as error:
        print(f": {error}")
        return 0
    print(f", of it {readable(free)} in {number} objects that no lock names")
    return free
