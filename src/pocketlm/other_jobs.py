"""What jobs cost that train nothing, for ``pocketlm plan``: constants of recorded runs, and scoring by its items.

Most of such a job is the start of Python and torch. The figures are those of the demo and the bookshelf run on two
cores of an Intel Xeon (6/207), ``results/benchmarks``; memory is a process's proportional set size beside its weights.
"""

from __future__ import annotations

from collections.abc import Iterable

from pocketlm.config import Params

SECONDS = {
    "calibrate": 20.0, "claim": 0.5, "claims": 2.0, "download": 1.0, "import_model": 4.0, "inherit": 15.0,
    "profile": 8.0, "promote": 0.3, "propose": 0.3, "quantize": 8.0, "report": 2.0, "score": 4.5, "select": 0.3,
    "tokenize": 3.0, "tokenize_join": 1.0, "tokenize_shard": 3.0, "tokenizer": 3.0,
}  # fmt: skip
MEMORY = {"calibrate": 0.48, "score": 0.42, "quantize": 0.35, "profile": 0.31}  # GiB
# of an item of a suite, all its choices and what is generated: the embedded world's stories are short
TOKENS, TOKENS_OF_WORLD = 200, 30
ITEMS = 1000  # of a task without a limit, whose source was not fetched yet


def scoring_flops(params: Params, suite: str, size: int, inputs: Iterable[str]) -> float:
    """FLOPs of scoring a model of ``size`` parameters in each of the forms among a job's inputs."""
    forms = sum(path.startswith(("results/models/", "results/deploy/")) for path in inputs)
    tokens = 0
    for task in params.suites[suite].tasks.values():
        world = params.sources[task.source].kind == "embedded"
        items = params.world.items if world else ITEMS
        tokens += min(items, task.limit or items) * (TOKENS_OF_WORLD if world else TOKENS)
    return 2.0 * size * tokens * forms
