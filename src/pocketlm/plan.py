"""``pocketlm plan``: what a run costs before it starts (jobs, time, memory, disk, downloads), and what is left out."""

from __future__ import annotations

import argparse
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Params, load
from pocketlm.costs import BYTES_PER_TRAINED, OVERHEAD, Cost, Work, costs, trainings

TRAINING = {"trial", "random", "pretrain", "pretrain_inherited", "instruct", "call"}


def disk_gib(params: Params, works: list[Work]) -> float:
    """About what a run writes: model folders, deployments, a checkpoint of each training, tokens, DVC's copy."""
    models = sum(one.params * 2 for one in works)
    checkpoints = max((one.params * BYTES_PER_TRAINED * 2 for one in works), default=0)
    return (2 * (models + 2 * models) + checkpoints + 200e6) / 2**30


def duration(hours: float) -> str:
    """A length of time to read."""
    if hours < 1 / 30:
        return f"{max(1, round(3600 * hours))} s"
    return f"{hours:.1f} hours" if hours >= 1 else f"{round(60 * hours)} minutes"


def training_line(one: Work, cost: Cost) -> str:
    """One training, or the search's trials."""
    jobs = f"{one.jobs} trials of about " if one.jobs > 1 else ""
    return (
        f"            {one.name}: {jobs}{one.params / 1e6:.2f} M parameters, {one.tokens / 1e6:.2f} M tokens, "
        f"{one.flops / 1e15:.3f} PFLOP, {duration(cost.seconds / 3600)}, {cost.memory_gib:.2f} GiB"
        + ("" if cost.measured else " (by formula)")
    )


def lines(folder: Path, cores: int) -> list[str]:
    """The plan, line by line. Raises ArtifactError if the disk is too small."""
    from pocketlm.compose import compose
    from pocketlm.engines.dag import open_dag
    from pocketlm.engines.graph.data import used_sources

    params = load(folder / "params.yaml")
    with open_dag(folder) as dag:
        needed = Counter(job.rule for job in dag.jobs if job.needed)
        total, others = len(dag.jobs), sum(job.rule not in TRAINING for job in dag.jobs)
    works = trainings(params)
    found = costs(works, params.numerics)
    slots = max(1, cores // (params.numerics.threads * params.numerics.world_size))
    hours = (sum(cost.seconds for cost in found) / slots + others * OVERHEAD / cores) / 3600
    memory = sum(sorted((cost.memory_gib for cost in found), reverse=True)[:slots])
    disk, free = disk_gib(params, works), shutil.disk_usage(folder).free / 2**30
    fetched = [n for n in used_sources(params_dict(params)) if params.sources[n].kind in ("url", "hub", "path")]
    jobs = ", ".join(f"{rule} {count}" for rule, count in needed.items())
    _, left_out = compose(params._recipe, params._overrides) if params._recipe else ("", [])
    flops = sum(one.flops for one in works)
    shown = [
        f"run       {folder.resolve().name}: recipe {params._recipe}",
        f"jobs      {sum(needed.values())} of {total} to do" + (f": {jobs}" if jobs else ""),
        f"training  {sum(one.tokens for one in works) / 1e6:.1f} M tokens, {flops / 1e15:.2f} PFLOP",
        *map(training_line, works, found),
        f"time      about {duration(hours)} on this machine, all of it made anew (training and start-up only)",
        f"memory    about {memory:.1f} GiB with {slots} training(s) at once",
        f"disk      about {disk:.1f} GiB, {free:.0f} GiB free",
        f"downloads {len(fetched) or 'none'}" + (f": {', '.join(fetched)}" if fetched else ""),
        *left_out,
    ]
    if disk > free:
        raise ArtifactError(f"{folder}: needs about {disk:.1f} GiB of disk, {free:.1f} GiB are free; free some first")
    return shown


def params_dict(params: Params) -> dict[str, Any]:
    """Parameters as plain data."""
    from pocketlm.config import as_dict

    return as_dict(params)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm plan``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="jobs at once (default: all cores)")


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    print("\n".join(lines(args.folder, args.cores)))
