"""The architecture search, and the devices that it searches for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional


@dataclass
class Rung:
    slots: int = 8
    steps: int = 60


@dataclass
class Space:
    """The grid of the architecture search; head counts that do not divide are skipped."""

    tokenizers: List[str] = field(default_factory=list)
    n_layers: List[int] = field(default_factory=list)
    d_model: List[int] = field(default_factory=list)
    head_dim: List[int] = field(default_factory=list)
    kv_share: List[int] = field(default_factory=list)  # query heads that share one kv head
    ffn_ratio: List[float] = field(default_factory=list)
    activation: List[str] = field(default_factory=list)
    gated: List[bool] = field(default_factory=list)
    tied: List[bool] = field(default_factory=list)
    sharing: List[int] = field(default_factory=list)
    init_std: float = 0.02
    max_seq_len: int = 256  # of every candidate


@dataclass
class Budget:
    min_params: int = 0
    max_params: int = 0
    max_memory_mib: float = 0.0  # weights (fp32) + KV cache at max_seq_len
    max_prefill_ms: float = 0.0  # of a prompt of ``prompt`` tokens; every bound of 0 is off
    max_decode_ms: float = 0.0  # a token, behind ``depth`` cached ones
    prompt: int = 128
    depth: int = 128
    reference: Optional[str] = None  # a named model; the two ratios are multiples of its predicted latency
    max_prefill_ratio: float = 0.0
    max_decode_ratio: float = 0.0


@dataclass
class Search:
    enabled: bool = True
    space: Space = field(default_factory=Space)
    budget: Budget = field(default_factory=Budget)
    device: str = "local"
    plan: str = "proxy"  # training plan of a trial; its steps come from the rung
    rungs: List[Rung] = field(default_factory=list)
    anchors: List[str] = field(default_factory=list)  # named models that take part in the first rung
    random: int = 4  # candidates of the random arm, each trained as long as the last rung
    epsilon: float = 0.02  # "fastest within epsilon of the best loss" (relative)
    separation: float = 0.15  # winners differ so much in predicted latency or depth
    seed: int = 0


@dataclass
class Device:
    kind: str = "local"  # local | ssh | adb
    runtime: str = "torch"  # torch | llamacpp
    threads: int = 1
    host: Optional[str] = None
    calibration: List[int] = field(default_factory=list)  # widths that are measured
    repeats: int = 5
    prompts: List[int] = field(default_factory=lambda: [32, 128])
    depths: List[int] = field(default_factory=lambda: [0, 96])
    new_tokens: int = 16
    quiet_seconds: float = 20.0  # measuring waits at most so long for the machine to be quiet


@dataclass
class Profile:
    device: str = "local"
    models: List[str] = field(default_factory=list)
    runtimes: List[str] = field(default_factory=lambda: ["torch"])
