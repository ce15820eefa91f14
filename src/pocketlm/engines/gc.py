"""``pocketlm gc``: what takes disk and is needed by nothing; ``--apply`` frees it.

Kept is everything that a lock names, in the workspace or in any commit (DVC's own ``gc`` decides that), and every
checkpoint of a training that is not finished.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketlm.engines import lock, store
from pocketlm.engines.dag import Job, open_dag

PHASES = {"pretrain": "base", "pretrain_inherited": "base"}  # checkpoints are named by phase, stages by rule
NOT_ARTEFACTS = {"logs", "benchmarks", "code", "checkpoints"}


@dataclass(frozen=True)
class Spare:
    """A file or folder that nothing needs."""

    path: Path
    size: int  # bytes
    why: str


def size(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    files = [path] if path.is_file() else [member for member in path.rglob("*") if member.is_file()]
    return sum(member.stat().st_size for member in files)


def orphans(folder: Path, jobs: list[Job]) -> Iterator[Spare]:
    """Files in ``results`` that no job of the DAG makes any more: of an entry that was renamed or removed."""
    made = {folder / path for job in jobs for path in job.outputs}
    inside = {parent for path in made for parent in path.parents}
    queue = sorted((folder / "results").glob("*"))
    while queue:
        path = queue.pop(0)
        if path in made or path.name in NOT_ARTEFACTS and path.parent == folder / "results":
            continue
        if path in inside:
            queue = sorted(path.glob("*")) + queue
        else:
            yield Spare(path, size(path), "no entry of params.yaml makes it")


def checkpoints(folder: Path, jobs: list[Job]) -> Iterator[Spare]:
    """Checkpoints of trainings that are finished, or that no entry asks for."""
    unfinished = [job.name.partition("-") for job in jobs if job.needed]
    wanted = tuple(f"{PHASES.get(rule, rule)}-{model}-" for rule, _, model in unfinished)
    for path in sorted((folder / "results" / "checkpoints").glob("*")):
        if not path.name.startswith(wanted):
            yield Spare(path, size(path), "its training is finished")


def unused_cache(folder: Path, apply: bool) -> tuple[int, str]:
    """(bytes of the local cache, what DVC says of objects that no lock of the workspace or of a commit names)."""
    before = size(store.cache(folder))
    said = store.dvc(folder, "gc", "--workspace", "--all-commits", *(["--force"] if apply else ["--dry"]))
    count = re.search(r"(\d+) objects?", said)
    return before, f"{count[1]} objects that no lock names" if count else "no object that no lock names"


def readable(count: int) -> str:
    """1234567 -> '1.2 MiB'."""
    return f"{count / 2**20:,.1f} MiB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm gc``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--apply", action="store_true", help="free it; without this, only show")


def run(args: argparse.Namespace) -> None:
    """Show, and free where asked."""
    with lock.alone(args.folder, "pocketlm gc") if args.apply else contextlib.nullcontext():
        show(args)


def show(args: argparse.Namespace) -> None:
    """Show, and free where asked, in a run folder that nothing else writes to."""
    with open_dag(args.folder) as dag:
        jobs = dag.jobs
    spare = [*orphans(args.folder, jobs), *checkpoints(args.folder, jobs)]
    for item in spare:
        print(f"{readable(item.size):>12}  {item.path}  ({item.why})")
        if args.apply:
            shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink()
    before, said = unused_cache(args.folder, args.apply)
    print(f"{readable(before):>12}  DVC cache: {said}")
    total = readable(sum(item.size for item in spare))
    print(f"{'freed' if args.apply else 'can be freed (pocketlm gc --apply)'}: {total} beside the cache")
