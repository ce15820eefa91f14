"""Score deployments on a suite through lm-eval's evaluator: tidy rows with standard errors, and samples for pairing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm import config
from pocketlm.scoring import tasks as task_room
from pocketlm.scoring.items import identity
from pocketlm.scoring.tasks import LocalTask

if TYPE_CHECKING:
    from pocketlm.data.chat import Chat

Row = dict[str, Any]
FEWSHOT_SEED = 1234  # lm-eval's default
SHOWN = {"wikitext": ("bits_per_byte",)}  # word and byte perplexity say the same in other units


@dataclass(frozen=True)
class Target:
    """What is scored: a model or deployment folder and how its rows are labelled."""

    folder: Path
    phase: str
    scheme: str
    runtime: str = "torch"


class Scorer:
    """A suite's tasks, ready to score one target after the other; prompts are built once for each chat template."""

    def __init__(self, tasks: list[LocalTask], suite: config.Suite, device: Any = "cpu") -> None:
        self.tasks, self.suite, self.device = tasks, suite, device
        self.built: dict[str, dict[str, Any]] = {}

    def score(self, target: Target, watch: Callable[[str], None] | None = None) -> tuple[list[Row], list[Row]]:
        """(rows {phase, scheme, runtime, task, metric, value, stderr, n, chance}, samples {…, item, value})."""
        from lm_eval.evaluator import evaluate as run_lm_eval

        from pocketlm.data.chat import Chat
        from pocketlm.quantization import load_deployed
        from pocketlm.scoring.lm import DecoderLM

        decoder, architecture, _ = load_deployed(target.folder)
        chat = Chat(target.folder)
        lm = DecoderLM(decoder.to(self.device), chat, architecture.max_seq_len, self.suite.batch_size, watch)
        with task_room.quiet():
            results = run_lm_eval(lm, self.lm_eval_tasks(chat), log_samples=True, bootstrap_iters=0)
        return collect(results, self.tasks, {"phase": target.phase, "scheme": target.scheme, "runtime": target.runtime})

    def lm_eval_tasks(self, chat: Chat) -> dict[str, Any]:
        """lm-eval's tasks, their few-shot choice seeded as its command does."""
        if chat.template not in self.built:
            self.built[chat.template] = task_room.build(self.tasks, chat, self.suite.max_new_tokens)
        for task in self.built[chat.template]["tasks"].values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        return self.built[chat.template]


def collect(results: Any, tasks: list[LocalTask], label: dict[str, str]) -> tuple[list[Row], list[Row]]:
    """Tidy rows and samples of lm-eval's result. The values are lm-eval's; the errors come from the items."""
    rows: list[Row] = []
    samples: list[Row] = []
    for task in tasks:
        logged = sorted(results["samples"][task.name], key=lambda sample: sample["doc_id"])
        for key, value in results["results"][task.name].items():
            metric, comma, _ = key.partition(",")
            if not comma or metric.endswith("_stderr") or metric not in SHOWN.get(task.entry.template, (metric,)):
                continue
            values = [(identity(task.docs[s["doc_id"]]), s[metric]) for s in logged if metric in s]
            stderr = standard_error([v for _, v in values])
            numbers = {"value": _rounded(value), "stderr": _rounded(stderr), "n": len(values), "chance": task.chance}
            rows.append(label | {"task": task.name, "metric": metric} | numbers)
            samples += [
                label | {"task": task.name, "metric": metric, "item": i, "value": _rounded(per_item(v))}
                for i, v in values
            ]
    return rows, samples


def per_item(value: Any) -> float:
    """A sample's own value: a number, or bits per byte of (log-likelihood, bytes)."""
    return -value[0] / value[1] / math.log(2) if isinstance(value, tuple | list) else float(value)


def standard_error(values: list[Any]) -> float:
    """Of a mean: sample deviation / sqrt(n), as lm-eval. Of a ratio of sums (bits per byte): by the delta method."""
    n = len(values)
    if n < 2:
        return 0.0
    if isinstance(values[0], tuple | list):
        weight = math.fsum(v[1] for v in values)
        ratio = math.fsum(v[0] for v in values) / weight
        residuals = [(v[0] - ratio * v[1]) * n / weight / math.log(2) for v in values]
    else:
        mean = math.fsum(values) / n
        residuals = [v - mean for v in values]
    return math.sqrt(math.fsum(r * r for r in residuals) / (n - 1) / n)


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")
