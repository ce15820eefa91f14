"""``pocketlm record``: tell DVC what Snakemake made.

Recorded are the stages that DVC calls changed, that Snakemake holds up to date and whose outputs exist: nothing stale
is ever called fresh. Snakemake holds up to date also what it never made (after ``dvc pull``), so that its own metadata
must name these outputs and these inputs. An artefact that somebody changed after it was made is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import textwrap
from pathlib import Path

from pocketlm.artifacts import ArtifactError
from pocketlm.engines import generate, lock, store
from pocketlm.engines.dag import Dag, Job, open_dag

UNKNOWN = "Snakemake did not make these outputs of these inputs; first: pocketlm sync, then snakemake"


def check_outputs(dag: Dag, jobs: list[Job], changed: dict[str, set[str]]) -> None:
    """Raise ArtifactError if an output is not what was made."""
    paths = [path for job in jobs for path in dag.edited(job.name, changed[job.name])]
    if paths:
        what = f"{', '.join(paths)}: changed since it was made"
        raise ArtifactError(f"{what}; remove it, then: dvc checkout PATH, or make it again: pocketlm run")


def record(folder: Path) -> tuple[list[str], list[Job]]:
    """(recorded stages, jobs that are not up to date) of a run folder."""
    with lock.alone(folder, "pocketlm record"):
        with open_dag(folder) as dag:
            jobs = dag.jobs
            generate.write(Path("."), jobs)
            changed = store.status(Path("."))
            exist = [job for job in jobs if all(Path(path).exists() for path in job.outputs)]
            candidates = [job for job in exist if job.name in changed and not job.needed]
            check_outputs(dag, candidates, changed)
            ready = [job for job in candidates if dag.known(job.name) and dag.read_these(job.name)]
        store.commit(folder, [*(["code"] if "code" in changed else []), *(job.name for job in ready)])
        with contextlib.chdir(folder):
            for job in ready:
                dag.note_times(job.name)
    unknown = [dataclasses.replace(job, reason=UNKNOWN) for job in candidates if job not in ready]
    return [job.name for job in ready], [job for job in jobs if job.needed] + unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm record``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")


def run(args: argparse.Namespace) -> None:
    """Record and say what was and what was not."""
    if "DVC_STAGE" in os.environ:
        raise ArtifactError("inside a DVC stage; dvc repro records by itself")
    recorded, stale = record(args.folder)
    for job in stale:
        reason = textwrap.shorten(job.reason or "not up to date", 160, placeholder=" …")  # may list every input
        print(f"not recorded: {job.name}: {reason}", file=sys.stderr)
    print(f"recorded {len(recorded)} stages in {args.folder}/dvc.lock" + (f", {len(stale)} are stale" if stale else ""))
