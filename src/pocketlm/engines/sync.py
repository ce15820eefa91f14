"""``pocketlm sync``: tell Snakemake what DVC restored (after dvc pull, checkout, repro or exp apply).

For each job whose DVC stage is clean, in topological order, the outputs get ascending times and Snakemake's metadata
is written, so that a later change of a parameter or source is seen. ``--touch`` of Snakemake would hide it. Times go
up only: Snakemake compares an input's bytes where the input is newer than the output. A job that is not clean and
whose outputs or inputs are not those that Snakemake knows (restored, changed by hand) is to be made again: Snakemake
alone would call it up to date.

DVC trusts time and size of a file that it has hashed once, and so restores a damaged object of its cache as it is.
With the new times it reads the restored files again.

An edit of sources that changes no stage's meaning (comments, docstrings) is accepted: DVC gets to know the new bytes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Container
from pathlib import Path

from pocketlm.artifacts import ArtifactError
from pocketlm.engines import generate, lock, store
from pocketlm.engines.dag import Dag, Job, open_dag


def exists(job: Job) -> bool:
    """Whether all outputs of a job are there."""
    return all(Path(path).exists() for path in job.outputs)


def restored(dag: Dag, changed: Container[str]) -> list[Job]:
    """Jobs that are clean and that Snakemake does not know as they are, or whose inputs get new times."""
    found: list[Job] = []
    touched: set[str] = set()
    for job in dag.jobs:
        if job.name in changed or not exists(job):
            continue
        if job.needed or not dag.known(job.name) or touched & set(job.inputs):
            found.append(job)
            touched.update(job.outputs)
    return found


def check(jobs: list[Job], changed: dict[str, set[str]]) -> None:
    """Raise ArtifactError if a restored output has other bytes than dvc.lock says."""
    paths = [path for job in jobs for path in sorted(changed.get(job.name, set()))]
    if paths:
        raise ArtifactError(
            f"{', '.join(paths)}: not the bytes that dvc.lock names, though DVC restored them: its cache is damaged. "
            "pocketlm verify --bytes names its objects; delete them, then: dvc pull, or make them again: snakemake"
        )


def accept(folder: Path, changed: dict[str, set[str]]) -> None:
    """Record an edit of sources that leaves every code file as it was."""
    if changed.get("code") == set():
        store.commit(folder, ["code"])
        print("accepted: an edit of sources that changes no stage's meaning", file=sys.stderr)


def tell(folder: Path) -> tuple[dict[str, set[str]], list[str], list[str]]:
    """(what DVC calls changed, jobs that Snakemake now holds up to date, jobs left as they were)."""
    with open_dag(folder) as dag:
        generate.write(Path("."), dag.jobs)
        changed = store.status(Path("."))
        new = restored(dag, changed)
        for job in new:
            dag.touch(job.name, time.time())
        if new:
            changed = store.status(Path("."))
        left = [job for job in dag.jobs if job.name in changed or not exists(job)]
        for job in new:
            if job not in left:
                dag.mark_finished(job.name)
        for job in filter(exists, left):
            if job in new or not dag.known(job.name) or not dag.read_these(job.name):
                dag.mark_unfinished(job.name)
        check(new, changed)
    names = [job.name for job in left]
    return changed, [job.name for job in dag.jobs if job.name not in names], names


def sync(folder: Path) -> tuple[list[str], list[str]]:
    """(jobs that Snakemake now holds up to date, jobs left as they were) of a run folder."""
    with lock.alone(folder, "pocketlm sync"):
        changed, clean, left = tell(folder)
        accept(folder, changed)
    return clean, left


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm sync``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")


def run(args: argparse.Namespace) -> None:
    """Sync and say how many jobs are fresh."""
    clean, left = sync(args.folder)
    more = f"; to be made: {', '.join(left)}" if left else ""
    print(f"synced {len(clean)} of {len(clean) + len(left)} jobs{more}")
