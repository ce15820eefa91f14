"""``pocketlm sync``: tell Snakemake what DVC restored (after dvc pull, checkout, repro or exp apply).

For each job whose DVC stage is clean, in topological order, the outputs get ascending times and Snakemake's metadata
is written, so that a later change of a parameter or source is seen. ``--touch`` of Snakemake would hide it. A job
whose outputs were changed by hand is to be made again: Snakemake would see only what depends on them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pocketlm.engines import generate, lock, store
from pocketlm.engines.dag import open_dag


def sync(folder: Path) -> tuple[list[str], list[str]]:
    """(jobs that Snakemake now holds up to date, jobs left as they were) of a run folder."""
    with lock.alone(folder, "pocketlm sync"), open_dag(folder) as dag:
        generate.write(Path("."), dag.jobs)
        changed = store.status(Path("."))
        start = time.time() - len(dag.jobs)
        clean, left = [], []
        for position, job in enumerate(dag.jobs):
            missing = not all(Path(path).exists() for path in job.outputs)
            if job.name in changed or missing:
                left.append(job.name)
                if not missing and dag.edited(job.name, changed[job.name]):
                    dag.mark_unfinished(job.name)
                continue
            dag.mark_finished(job.name, start + position)
            clean.append(job.name)
    return clean, left


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm sync``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")


def run(args: argparse.Namespace) -> None:
    """Sync and say how many jobs are fresh."""
    clean, left = sync(args.folder)
    more = f"; to be made: {', '.join(left)}" if left else ""
    print(f"synced {len(clean)} of {len(clean) + len(left)} jobs{more}")
