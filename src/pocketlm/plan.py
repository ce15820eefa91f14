"""``pocketlm plan``: what a run costs before it starts (jobs, time, memory, disk, downloads), and what is left out."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Params, load
from pocketlm.costs import BYTES_PER_TRAINED, GIB, Cost, Work, assumed_rate, assumption, costs, sizes_of, trainings
from pocketlm.makespan import Schedule, Task, simulate
from pocketlm.other_jobs import MEMORY, SECONDS, scoring_flops

PHASES = {"pretrain": "base", "pretrain_inherited": "base", "instruct": "instruct", "call": "call"}


def disk_gib(params: Params, works: list[Work]) -> float:
    """About what a run writes: model folders, deployments, a checkpoint of each training, tokens, DVC's copy."""
    models = sum(one.params * 2 for one in works)
    checkpoints = max((one.params * BYTES_PER_TRAINED * 2 for one in works), default=0)
    return (2 * (models + 2 * models) + checkpoints + 200e6) / GIB


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


def training_of(job: str) -> str:
    """The name of the training that a job does (``pretrain-a0`` does ``a0 base``); any other job's is its own."""
    rule, *wildcards = job.split("-")
    if rule == "trial":
        return f"rung {wildcards[0]}"
    return f"{wildcards[0]} {PHASES[rule]}" if rule in PHASES else job


def schedule(
    dag: Any, params: Params, sizes: dict[str, int], works: list[Work], found: list[Cost], cores: int
) -> Schedule:
    """All jobs of a DAG on this machine: trainings at their cost, any other one at that of its kind."""
    known = {}
    for one, cost in zip(works, found, strict=True):
        jobs = 1 if one.name == "random" else one.jobs  # one job makes all trials of the random arm
        known[one.name] = (cost.seconds / jobs, cost.memory_gib * one.ranks)
    rate = assumed_rate(params.numerics)
    maker = {path: job.name for job in dag.jobs for path in job.outputs}
    tasks = []
    for job in dag.jobs:
        raw = dag.raw[job.name]
        model, suite = (raw.wildcards_dict.get(name) for name in ("model", "suite"))
        size = sizes.get(model, 0)
        scoring = scoring_flops(params, suite, model, size) if job.rule == "score" else 0.0
        memory = MEMORY[job.rule] + 4 * size / GIB if job.rule in MEMORY else 0.0
        other = (SECONDS.get(job.rule, 0.0) + scoring / rate, memory)
        seconds, memory = known.get(training_of(job.name), other)
        needs = frozenset(maker[path] for path in job.inputs if path in maker)
        tasks.append(
            Task(job.name, seconds, raw.threads, raw.resources.get("gpu", 0), memory, raw.rule.priority, needs)
        )
    return simulate(tasks, cores, dag.workflow.global_resources.get("gpu").value or 0)


def downloads(params: Params, folder: Path) -> str:
    """Sources that are fetched, with the bytes of those that are on this machine; params.yaml declares no sizes."""
    from pocketlm.data.mirror import cache_folder
    from pocketlm.engines.graph.data import used_sources

    fetched = [name for name in used_sources(params_dict(params)) if params.sources[name].kind != "embedded"]
    shown = []
    for name in fetched:
        source = params.sources[name]
        cached = cache_folder() / "downloads" / (source.sha256 or "")
        place = folder / Path(source.path or "").expanduser() if source.kind == "path" else cached
        shown.append(name + (f" ({place.stat().st_size / 1e6:.1f} MB, here already)" if place.is_file() else ""))
    return f"{len(shown)}: {', '.join(shown)}; sizes of others are not known" if shown else "none"


def lines(folder: Path, cores: int) -> list[str]:
    """The plan, line by line. Raises ArtifactError if the disk is too small."""
    from pocketlm.compose import compose
    from pocketlm.engines.dag import open_dag

    params = load(folder / "params.yaml")
    with contextlib.chdir(folder):  # a checkpoint's path is relative to the run folder
        works, sizes = trainings(params), sizes_of(params)
    found = costs(works, params.numerics)
    with open_dag(folder) as dag:
        needed, total = Counter(job.rule for job in dag.jobs if job.needed), len(dag.jobs)
        course = schedule(dag, params, sizes, works, found, cores)
    disk, free = disk_gib(params, works), shutil.disk_usage(folder).free / GIB
    jobs = ", ".join(f"{rule} {count}" for rule, count in needed.items())
    _, left_out = compose(params._recipe, params._overrides) if params._recipe else ("", [])
    flops = sum(one.flops for one in works)
    guessed = [] if all(cost.measured for cost in found) else [f"formula   {assumption(params.numerics)}"]
    shown = [
        f"run       {folder.resolve().name}: recipe {params._recipe}",
        f"jobs      {sum(needed.values())} of {total} to do" + (f": {jobs}" if jobs else ""),
        f"training  {sum(one.tokens for one in works) / 1e6:.1f} M tokens, {flops / 1e15:.2f} PFLOP",
        *map(training_line, works, found),
        *guessed,
        f"time      about {duration(course.seconds / 3600)} on {cores} core(s), all of it made anew "
        "(without downloads)",
        f"memory    about {course.memory_gib:.1f} GiB with {course.at_once} job(s) at once",
        f"disk      about {disk:.1f} GiB, {free:.0f} GiB free",
        f"downloads {downloads(params, folder)}",
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
