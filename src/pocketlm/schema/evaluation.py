"""What is shipped, measured and scored: deployments, tasks, claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional


@dataclass
class Deployment:
    """model x phase x scheme x runtime: what is shipped, profiled and scored."""

    model: str = ""
    phase: str = "call"
    scheme: str = "bf16"  # bf16 | int8 | w8a8 | int4 | gguf_q8_0 | gguf_q4_0
    runtime: str = "torch"


@dataclass
class Quantization:
    group_size: int = 32  # int4
    method: str = "rtn"  # rtn | gptq


@dataclass
class Task:
    """One lm-eval task over local items, with everything pinned."""

    source: str = ""
    file: str = ""  # inside the source's folder; "" = its only one
    labels: Optional[str] = None  # source of the labels where they are a file of their own (PIQA)
    template: str = "multiple_choice"  # a template of scoring/templates.py
    metric: str = "acc"
    num_fewshot: int = 0
    limit: Optional[int] = None  # items, chosen by hash
    chance: Optional[float] = None
    version: int = 1


@dataclass
class Suite:
    tasks: Dict[str, Task] = field(default_factory=dict)
    phases: List[str] = field(default_factory=lambda: ["base", "instruct", "call"])
    batch_size: int = 64
    max_new_tokens: int = 48


@dataclass
class Claim:
    """An ablation of a paper, made again: models ``b`` against models ``a``, paired by seed."""

    paper: str = ""  # name of a table in conf/papers
    section: str = ""  # where the paper says it, and how we know
    statement: str = ""
    effect: Optional[float] = None  # b - a as published, in ``unit``; null: not published as a number
    unit: str = ""
    better: bool = True  # whether b is the better one, by the paper
    a: List[str] = field(default_factory=list)  # names in models, one a seed
    b: List[str] = field(default_factory=list)
    metric: str = "bits_per_byte"  # bits_per_byte | decode_tok_s | prefill_tok_s
    suite: Optional[str] = None  # whose accuracy is shown second
    profile: Optional[str] = None  # that measured the speed of the models
    note: str = ""  # what differs from the paper's own comparison
