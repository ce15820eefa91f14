"""What jobs cost that train nothing, for ``pocketlm plan``: constants of recorded runs, and scoring by its items.

Most of such a job is the start of Python and torch. The figures are those in ``results/benchmarks/*.tsv`` after
``make demo`` and ``snakemake --directory runs/bookshelf`` on two cores of an Intel Xeon (6/207); memory is a process's
proportional set size beside its weights.
"""

from __future__ import annotations

from pocketlm.config import Params, as_dict
from pocketlm.engines.graph import deployments as graph

SECONDS = {
    "calibrate": 20.0, "claim": 0.5, "claims": 2.0, "download": 1.0, "import_model": 4.0, "inherit": 15.0,
    "profile": 8.0, "promote": 0.3, "propose": 0.3, "quantize": 8.0, "report": 2.0, "score": 4.5, "select": 0.3,
    "tokenize": 3.0, "tokenize_join": 1.0, "tokenize_shard": 3.0, "tokenizer": 3.0,
}  # fmt: skip
MEMORY = {"calibrate": 0.48, "score": 0.42, "quantize": 0.35, "profile": 0.31}  # GiB
# of an item of a suite, all its choices and what is generated: the embedded world's stories are short
TOKENS, TOKENS_OF_WORLD = 200, 30
ITEMS = 1000  # of a task without a limit, whose source was not fetched yet


def scored_forms(params: Params, suite: str, model: str) -> int:
    """In how many forms a suite scores a model: its phases, and each phase and scheme that is deployed quantized."""
    config = as_dict(params)
    phases = graph.scored_phases(config, model, suite)
    deployed = graph.deployments(config, model, quantized=True).values()
    return len(phases) + len({(one["phase"], one["scheme"]) for one in deployed if one["phase"] in phases})


def scoring_flops(params: Params, suite: str, model: str, size: int) -> float:
    """FLOPs of scoring a model of ``size`` parameters in all its forms."""
    tokens = 0
    for task in params.suites[suite].tasks.values():
        world = params.sources[task.source].kind == "embedded"
        items = params.world.items if world else ITEMS
        tokens += min(items, task.limit or items) * (TOKENS_OF_WORLD if world else TOKENS)
    return 2.0 * size * tokens * scored_forms(params, suite, model)
