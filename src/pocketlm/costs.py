"""What the trainings of a run cost: parameters, tokens, FLOPs, time, memory.

Time and memory come from a rehearsal: each training's own loop, model and optimizer run some steps on this machine
(``rehearse.py``), and the rest is arithmetic. Where that cannot be (the GPU is elsewhere, a step would take
minutes, memory would not do), they come by formula from an assumed rate, and both are said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

from pocketlm.config import Architecture, Model, Numerics, Params, Plan, as_dict

EFFICIENCY = 0.25  # of the fp32 matrix rate, in the training of small models (measured between 0.2 and 0.4)
# An H100's data sheet (SXM, dense; fp32 without TF32, as numerics.py has it), for a GPU that is not here
GPU_PEAK = {"bf16": 989e12, "fp32": 67e12}
GPU_MFU = 0.4  # assumed: MosaicML's tables for 1 to 3 billion parameters on H100s have 0.40 to 0.46; small models less
OVERHEAD = 6.0  # seconds that a job spends on start-up, where it was not measured
PROCESS = 0.7  # GiB of a Python process with torch, where it was not measured
BYTES_PER_TRAINED = 16  # fp32 weights, gradients, two moments
LONGEST_STEP = 20.0  # seconds by formula above which a step is not rehearsed
MIB, GIB = 2**20, 2**30
PRODUCTS = """
import time
import numpy as np
left, best = np.ones((512, 512), dtype=np.float32), 0.0
for window in range(12):
    began, products = time.perf_counter(), 0
    while time.perf_counter() - began < 0.03:
        left @ left
        products += 1
    best = max(best, products * 2 * 512.0**3 / (time.perf_counter() - began))
print(best)
"""


@dataclass
class Work:
    """The training of one phase by ``ranks`` processes, or the trials of a rung of the search (``jobs`` of them)."""

    name: str
    arch: Architecture
    plan: Plan
    vocab_size: int
    chat: bool
    steps: int  # of all jobs
    params: int
    flops: float
    jobs: int = 1
    ranks: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of all steps."""
        return self.steps * self.plan.batch_size * self.plan.seq_len


@dataclass
class Cost:
    """Seconds (all jobs, one after the other) and peak memory in GiB of one process."""

    seconds: float
    memory_gib: float
    measured: bool


def work(name: str, arch: Architecture, params: Params, plan: Plan, vocab_size: int, steps: int, jobs: int = 1) -> Work:
    """One training by its plan; FLOPs by formula (the mean token sees half of the row)."""
    from pocketlm.model import counts

    flops = 3.0 * float(counts.flops_per_token(arch, vocab_size, plan.seq_len // 2))
    flops *= steps * plan.batch_size * plan.seq_len
    chat = params.corpora[plan.corpus].kind == "chat"
    size, ranks = counts.params(arch, vocab_size), params.numerics.world_size
    return Work(name, arch, plan, vocab_size, chat, steps, size, flops, jobs, ranks)


def typical(params: Params) -> Architecture:
    """The middle of the search space, of fewer blocks where the budget wants it: stands for a shape not known yet."""
    from pocketlm.model import counts

    space, most = params.search.space, params.search.budget.max_params

    def middle(values: list[Any]) -> Any:
        return sorted(values)[len(values) // 2]

    width, head = middle(space.d_model), middle(space.head_dim)
    heads = max(1, width // head)
    shape = Architecture(
        d_model=width, n_heads=heads, n_kv_heads=heads, head_dim=head, d_ff=int(width * middle(space.ffn_ratio)),
        max_seq_len=space.max_seq_len,
    )  # fmt: skip
    vocab_size = params.tokenizers[space.tokenizers[0]].vocab_size
    shapes = [replace(shape, n_layers=n) for n in sorted(space.n_layers) if n <= middle(space.n_layers)]
    fitting = [arch for arch in shapes if not most or counts.params(arch, vocab_size) <= most]
    return fitting[-1] if fitting else shapes[0]


def steps_of(plan: Plan) -> int:
    """Steps of all rounds; further ones train on their share of the batches."""
    return plan.steps + (plan.rounds - 1) * max(1, round(plan.round_share * plan.steps))


def trials(params: Params) -> list[Work]:
    """The search's trials: ``rung N`` for each rung, and ``random``, whose trials are all made by one job."""
    search, found = params.search, []
    vocab_size, plan = params.tokenizers[search.space.tokenizers[0]].vocab_size, params.plans[search.plan]
    groups = [(f"rung {number}", rung.slots, rung.steps) for number, rung in enumerate(search.rungs)]
    for name, jobs, steps in [*groups, ("random", search.random, search.rungs[-1].steps)]:
        if jobs:
            found.append(work(name, typical(params), params, plan, vocab_size, jobs * steps, jobs))
    return [replace(one, ranks=1) for one in found]  # whatever the trainings have


def shape_of(params: Params, model: Model) -> tuple[Architecture, int]:
    """(shape, vocabulary) of a model, as far as it is known before the run; an imported one's from its checkpoint."""
    if model.architecture.kind == "imported":
        from pocketlm.model.foreign import import_config

        return import_config(model.architecture.path or "")
    arch = typical(params) if model.architecture.kind == "searched" else model.architecture
    return arch, params.tokenizers[model.architecture.tokenizer].vocab_size


def sizes_of(params: Params) -> dict[str, int]:
    """{model: its parameters}."""
    from pocketlm.model import counts

    return {name: counts.params(*shape_of(params, model)) for name, model in params.models.items()}


def trainings(params: Params) -> list[Work]:
    """All trainings of a run."""
    found = trials(params) if params.search.enabled else []
    for name, model in params.models.items():
        arch, vocab_size = shape_of(params, model)
        for phase in ("base", "instruct", "call"):
            chosen = params.plans.get(getattr(model, phase) or "")
            if chosen:
                found.append(work(f"{name} {phase}", arch, params, chosen, vocab_size, steps_of(chosen)))
    return found


def matrix_rate() -> float:
    """FLOP/s of fp32 matrix products of one core: the best of some short windows.

    In a process of its own: numpy counts its threads when it is imported, and threads that wait for a busy core tell
    nothing.
    """
    command = [sys.executable, "-c", PRODUCTS]
    one_thread = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return float(subprocess.run(command, env=one_thread, check=True, capture_output=True, text=True).stdout)


def assumed_rate(numerics: Numerics) -> float:
    """FLOP/s of one process that trains, where it is not rehearsed (``assumption`` says it in words)."""
    if numerics.device == "cuda":
        return GPU_PEAK[numerics.precision] * GPU_MFU
    return matrix_rate() * numerics.threads * EFFICIENCY


def assumption(numerics: Numerics) -> str:
    """What costs by formula rest on."""
    memory = "memory: weights, gradients and AdamW's state only"
    if numerics.device == "cuda":
        peak = f"{GPU_PEAK[numerics.precision] / 1e12:.0f} TFLOP/s of an H100's data sheet ({numerics.precision})"
        return f"an MFU of {GPU_MFU:.0%} of the {peak}, assumed, not measured; {memory}"
    return f"{EFFICIENCY:.0%} of the fp32 matrix rate of this machine's cores, assumed; {memory}"


def by_formula(one: Work, rate: float) -> Cost:
    """Cost from the FLOP/s of a process that trains."""
    seconds = one.flops / (rate * one.ranks) + one.jobs * OVERHEAD
    return Cost(seconds, PROCESS + one.params * BYTES_PER_TRAINED / GIB, measured=False)


def by_rehearsal(one: Work, found: dict[str, float]) -> Cost:
    """Cost from what some steps took (``rehearse.py``)."""
    plan, own = one.plan, one.steps / one.jobs
    validations = -(-own // plan.validate_every) if plan.validate_every else 1
    every_job = found["start"] + found["first"] + found["end"] + validations * found["validation"]
    every_job += (own - 1) // plan.checkpoint_every * found["checkpoint"]
    seconds = one.jobs * every_job + (one.steps - one.jobs) * found["step"]
    return Cost(seconds, found["memory_mib"] * MIB / GIB, measured=True)


def request(one: Work, numerics: Numerics) -> dict[str, Any]:
    """What the rehearsal is told: the share of one process, since the others are not here."""
    plan = replace(one.plan, batch_size=one.plan.batch_size // one.ranks)
    alone = replace(numerics, world_size=1)
    about = {"arch": as_dict(one.arch), "plan": as_dict(plan), "numerics": as_dict(alone)}
    return about | {"vocab_size": one.vocab_size, "chat": one.chat}


def same(asked: dict[str, Any]) -> str:
    """Trainings with this text cost the same a step."""
    shape = {k: asked["plan"][k] for k in ("seq_len", "batch_size", "micro_batch", "optimizer", "validation_batches")}
    return json.dumps(asked | {"plan": shape}, sort_keys=True)


def rehearse(asked: list[dict[str, Any]]) -> list[dict[str, float]] | None:
    """What the rehearsal measured of each; None where this machine cannot train so."""
    command = [sys.executable, "-m", "pocketlm.rehearse", repr(time.time())]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(asked))
        child.stdin.close()
        found = [json.loads(line) for _, line in zip(asked, child.stdout)]
        ended = time.perf_counter()
        if child.wait() != 0:
            return None
        leaving = time.perf_counter() - ended  # a process that holds torch takes a while to go
    return [one | {"end": one["end"] + leaving} for one in found]


def costs(works: list[Work], numerics: Numerics) -> list[Cost]:
    """The cost of each training; equal ones are rehearsed once, the smallest first."""
    import psutil

    rate, free = assumed_rate(numerics), psutil.virtual_memory().available / GIB
    found = [by_formula(one, rate) for one in works]
    small = [
        one for one, cost in zip(works, found, strict=True)
        if (cost.seconds - one.jobs * OVERHEAD) / one.steps < LONGEST_STEP and cost.memory_gib < free
    ]  # fmt: skip
    asked = {same(request(one, numerics)): request(one, numerics) for one in sorted(small, key=lambda one: one.params)}
    answers = rehearse(list(asked.values())) if asked else None
    if answers is None:
        return found
    known = dict(zip(asked, answers, strict=True))
    names = [same(request(one, numerics)) for one in works]
    return [by_rehearsal(w, known[n]) if n in known else cost for w, n, cost in zip(works, names, found, strict=True)]
