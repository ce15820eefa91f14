"""Templates of tasks: how items are read, and lm-eval's configuration; an official one is lm-eval's own file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pocketlm.config import ConfigError
from pocketlm.scoring import calls, items

Doc = dict[str, Any]
CALL_METRICS = ("exact_match", "name_accuracy", "argument_f1")


def _mean(name: str) -> Doc:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


@dataclass(frozen=True)
class Template:
    """``read(path, **options)`` yields documents; ``official`` names a yaml in lm_eval/tasks, else ``own`` is used."""

    read: Callable[..., Iterator[Doc]]
    official: str | None = None
    own: dict[str, Any] = field(default_factory=dict)


MULTIPLE_CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "query",
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
    "metric_list": [_mean("acc"), _mean("acc_norm")],
}


def call_results(doc: Doc, results: list[str]) -> dict[str, float]:
    """The metrics of one answer, and again under the item's group (``exact_match unseen_phrasing``)."""
    values = calls.score(results[0], json.loads(doc["calls"]))
    named = {f"{name} {doc['group']}": value for name, value in values.items()} if doc["group"] else {}
    return values | named


def call_config(groups: list[str], max_new_tokens: int) -> dict[str, Any]:
    """The configuration of a function-call task; the prompt is rendered by the model's own chat template."""
    names = [f"{name} {group}".strip() for group in ["", *groups] for name in CALL_METRICS]
    return {
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "calls",
        "process_results": call_results,
        "metric_list": [_mean(name) for name in names],
        "generation_kwargs": {"until": [], "max_gen_toks": max_new_tokens, "do_sample": False},
    }


TEMPLATES = {
    "multiple_choice": Template(items.multiple_choice, own=MULTIPLE_CHOICE),
    "hellaswag": Template(items.hellaswag, "hellaswag/hellaswag.yaml"),
    "arc_easy": Template(items.arc, "arc/arc_easy.yaml"),
    "arc_challenge": Template(items.arc, "arc/arc_challenge.yaml"),
    "piqa": Template(items.piqa, "piqa/piqa.yaml"),
    "winogrande": Template(items.winogrande, "winogrande/default.yaml"),
    "openbookqa": Template(items.openbookqa, "openbookqa/openbookqa.yaml"),
    "boolq": Template(items.boolq, "super_glue/boolq/default.yaml"),
    "wikitext": Template(items.wikitext, "wikitext/wikitext.yaml"),
    "calls": Template(items.calls),
    "droidcall": Template(items.droidcall),
}
CALLS = ("calls", "droidcall")


def template(name: str, task: str) -> Template:
    """The template of that name. Raises ConfigError with the known names."""
    if name not in TEMPLATES:
        raise ConfigError(f"suites…tasks.{task}.template={name}: unknown; use one of {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def chance(docs: list[Doc], name: str) -> float | None:
    """Accuracy of a guess: the mean of 1 / choices; 0 for calls, None where there is no such level."""
    if name in CALLS:
        return 0.0
    if name == "wikitext":
        return None
    return sum(1 / _choices(doc) for doc in docs) / len(docs)


def _choices(doc: Doc) -> int:
    for key in ("choices", "endings"):
        if key in doc:
            value = doc[key]
            return len(value["text"]) if isinstance(value, dict) else len(value)
    return 2  # PIQA, WinoGrande, BoolQ
