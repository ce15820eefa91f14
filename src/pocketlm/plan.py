"""``pocketlm plan``: what a run costs before it starts (jobs, time, memory, disk, downloads), and what is left out."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture, Params, Plan, load

EFFICIENCY = 0.25  # of the matrix rate, in the training of small models (measured between 0.2 and 0.4)
OVERHEAD = 6.0  # seconds that a job spends on start-up
PROCESS = 0.7  # GiB of a Python process with torch
BYTES_PER_TRAINED = 16  # fp32 weights, gradients, two moments


@dataclass
class Work:
    """The training of one phase, or of the search's trials."""

    name: str
    params: int
    tokens: int
    flops: float


def matrix_rate(windows: int = 12, seconds: float = 0.03) -> float:
    """FLOP/s of fp32 matrix products of one core: the best of some short windows."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of numpy that wait for a busy core tell nothing
    import numpy as np

    left = np.ones((512, 512), dtype=np.float32)
    best = 0.0
    for _ in range(windows):
        began, products = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            left @ left
            products += 1
        best = max(best, products * 2 * 512.0**3 / (time.perf_counter() - began))
    return best


def work(name: str, arch: Architecture, plan: Plan, vocabulary: int, steps: float) -> Work:
    """Tokens and FLOPs of one training."""
    from pocketlm.model import counts

    tokens = int(steps * plan.batch_size * plan.seq_len)
    flops = 3.0 * float(counts.flops_per_token(arch, vocabulary, plan.seq_len // 2)) * tokens
    return Work(name, counts.params(arch, vocabulary), tokens, flops)


def typical(params: Params) -> Architecture:
    """The middle of the search space: stands for a shape that is not known yet."""
    space = params.search.space

    def middle(values: list[Any]) -> Any:
        return sorted(values)[len(values) // 2]

    width, head = middle(space.d_model), middle(space.head_dim)
    heads = max(1, width // head)
    ffn = int(width * middle(space.ffn_ratio))
    layers = middle(space.n_layers)
    return Architecture(n_layers=layers, d_model=width, n_heads=heads, n_kv_heads=heads, head_dim=head, d_ff=ffn)


def trainings(params: Params) -> list[Work]:
    """All trainings of a run. Rounds after the first train on their share of the steps."""
    found = []
    for name, model in params.models.items():
        arch = typical(params) if model.architecture.kind == "searched" else model.architecture
        for phase in ("base", "instruct", "call"):
            plan = params.plans.get(getattr(model, phase) or "")
            if plan:
                steps = plan.steps * (1 + (plan.rounds - 1) * plan.round_share)
                vocabulary = params.tokenizers[model.architecture.tokenizer].vocab_size
                found.append(work(f"{name} {phase}", arch, plan, vocabulary, steps))
    search = params.search
    if search.enabled:
        plan = params.plans[search.plan]
        steps = sum(rung.slots * rung.steps for rung in search.rungs) + search.random * search.rungs[-1].steps
        vocabulary = params.tokenizers[search.space.tokenizers[0]].vocab_size
        found.insert(0, work("search", typical(params), plan, vocabulary, steps))
    return found


def disk_gib(params: Params, works: list[Work]) -> float:
    """About what a run writes: model folders, deployments, a checkpoint of each training, tokens, DVC's copy."""
    models = sum(one.params * 2 for one in works)
    checkpoints = max((one.params * BYTES_PER_TRAINED * 2 for one in works), default=0)
    return (2 * (models + 2 * models) + checkpoints + 200e6) / 2**30


def duration(hours: float) -> str:
    """A length of time to read."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} minutes"


def lines(folder: Path, cores: int) -> list[str]:
    """The plan, line by line. Raises ArtifactError if the disk is too small."""
    from pocketlm.compose import compose
    from pocketlm.engines.dag import open_dag
    from pocketlm.engines.graph.data import used_sources

    params = load(folder / "params.yaml")
    with open_dag(folder) as dag:
        needed = Counter(job.rule for job in dag.jobs if job.needed)
        total = len(dag.jobs)
    works = trainings(params)
    flops = sum(one.flops for one in works)
    hours = (flops / (matrix_rate() * cores * EFFICIENCY) + sum(needed.values()) * OVERHEAD / cores) / 3600
    largest = max((one.params for one in works), default=0)
    memory = min(cores, len(works)) * (PROCESS + largest * BYTES_PER_TRAINED / 2**30 + 0.3)
    disk, free = disk_gib(params, works), shutil.disk_usage(folder).free / 2**30
    fetched = [n for n in used_sources(params_dict(params)) if params.sources[n].kind in ("url", "hub", "path")]
    jobs = ", ".join(f"{rule} {count}" for rule, count in needed.items())
    _, left_out = compose(params._recipe, params._overrides) if params._recipe else ("", [])
    found = [
        f"run       {folder.resolve().name}: recipe {params._recipe}",
        f"jobs      {sum(needed.values())} of {total} to do" + (f": {jobs}" if jobs else ""),
        f"training  {sum(one.tokens for one in works) / 1e6:.1f} M tokens, {flops / 1e15:.2f} PFLOP",
        *(f"            {w.name}: {w.params / 1e6:.2f} M parameters, {w.tokens / 1e6:.2f} M tokens" for w in works),
        f"time      about {duration(hours)} on this machine, all of it made anew (training and start-up only)",
        f"memory    about {memory:.1f} GiB with {cores} jobs at once",
        f"disk      about {disk:.1f} GiB, {free:.0f} GiB free",
        f"downloads {len(fetched) or 'none'}" + (f": {', '.join(fetched)}" if fetched else ""),
        *left_out,
    ]
    if disk > free:
        raise ArtifactError(f"{folder}: needs about {disk:.1f} GiB of disk, {free:.1f} GiB are free; free some first")
    return found


def params_dict(params: Params) -> dict[str, Any]:
    """Parameters as plain data."""
    from pocketlm.config import as_dict

    return as_dict(params)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm plan``."""
    import os

    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="jobs at once (default: all cores)")


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    print("\n".join(lines(args.folder, args.cores)))
