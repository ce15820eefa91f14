"""The schema of ``params.yaml``: what every key is. ``checks`` says which values and combinations are possible.

No default reaches a result: ``pocketlm compose`` writes every key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List

from pocketlm.schema.data import Corpus, Part, Source, Tokenizer, World
from pocketlm.schema.evaluation import Claim, Deployment, Quantization, Suite, Task
from pocketlm.schema.models import Architecture, Inherit, Model, Plan
from pocketlm.schema.search import Budget, Device, Profile, Rung, Search, Space

__all__ = [
    "Architecture",
    "Budget",
    "Claim",
    "Corpus",
    "Deployment",
    "Device",
    "Inherit",
    "Model",
    "Numerics",
    "Params",
    "Part",
    "Plan",
    "Profile",
    "Quantization",
    "Report",
    "Rung",
    "Search",
    "Source",
    "Space",
    "Suite",
    "Task",
    "Tokenizer",
    "World",
]


@dataclass
class Numerics:
    """What changes bytes: a machine that cannot honour it refuses."""

    device: str = "cpu"  # cpu | cuda
    precision: str = "fp32"  # fp32 | bf16 (autocast, fp32 master weights)
    threads: int = 1  # torch intra-op threads of every computing stage
    world_size: int = 1  # ranks of a training, under torchrun; all other stages are single processes
    parallel: str = "ddp"  # ddp (each rank has the whole model) | fsdp (FSDP2: shards of it); with several ranks
    compile: bool = False  # torch.compile (needs a C++ compiler)


@dataclass
class Report:
    title: str = "PocketLM run"
    papers: List[str] = field(default_factory=list)  # tables of conf/papers set beside ours


@dataclass
class Params:
    """The whole of ``params.yaml``."""

    _recipe: str = ""
    _overrides: List[str] = field(default_factory=list)
    numerics: Numerics = field(default_factory=Numerics)
    world: World = field(default_factory=World)
    sources: Dict[str, Source] = field(default_factory=dict)
    tokenizers: Dict[str, Tokenizer] = field(default_factory=dict)
    corpora: Dict[str, Corpus] = field(default_factory=dict)
    plans: Dict[str, Plan] = field(default_factory=dict)
    models: Dict[str, Model] = field(default_factory=dict)
    devices: Dict[str, Device] = field(default_factory=dict)
    search: Search = field(default_factory=Search)
    profiles: Dict[str, Profile] = field(default_factory=dict)
    quantization: Quantization = field(default_factory=Quantization)
    deployments: Dict[str, Deployment] = field(default_factory=dict)
    suites: Dict[str, Suite] = field(default_factory=dict)
    claims: Dict[str, Claim] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
