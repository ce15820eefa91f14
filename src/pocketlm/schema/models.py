"""What is trained: shapes, training plans, models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass
class Architecture:
    """A decoder (``model/decoder.py``); all three papers' options. ``kind`` says where the shape comes from."""

    kind: str = "named"  # named: the fields below; searched: by rank; imported: from path
    rank: Optional[int] = None  # searched
    path: Optional[str] = None  # imported: a local Hugging Face folder
    tokenizer: str = ""
    n_layers: int = 4
    d_model: int = 128
    n_heads: int = 4
    n_kv_heads: int = 4
    head_dim: int = 32
    d_ff: int = 384
    activation: str = "silu"  # silu | relu | relu2 | gelu
    gated: bool = True
    tied: bool = True
    sharing: int = 1  # every block is executed so many times in a row (MobileLLM-LS)
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_int8: bool = False  # PhoneLM: cos and sin rounded to int8
    series: int = 0  # PanGu-pi: terms of the series activation, 0 = off
    shortcuts: int = 0  # PanGu-pi: augmented shortcuts T, 0 = off
    shortcut_ratio: int = 32  # bottleneck d_model / r
    init_std: float = 0.02  # constant for every layer
    max_seq_len: int = 256


@dataclass
class Plan:
    """How one phase is trained: data, mask and schedule; the loop is the same."""

    corpus: str = ""
    seq_len: int = 128
    batch_size: int = 32  # sequences a step, over all ranks and accumulation
    micro_batch: Optional[int] = None  # sequences a forward pass; default the batch
    steps: int = 200  # of one round
    optimizer: str = "muon"  # muon | adamw
    lr: float = 3e-3  # AdamW rate at reference_width (embeddings, norms, and all with adamw)
    muon_lr: float = 0.02  # rate of matrices under muon
    lr_width_reference: Optional[int] = None  # lr x reference / d_model for matrices under adamw; None = off
    batch_reference: Optional[int] = None  # lr x (batch / reference)^batch_power; None = off
    batch_power: float = 0.5  # 1: linear (MobileLLM), 0.5: square root (PanGu-pi Pro)
    schedule: str = "cosine"  # cosine | wsd | linear | constant
    floor: float = 0.1  # final rate / peak rate
    warmup: int = 20
    decay: float = 0.1  # wsd: share of steps in the decay
    decay_shape: str = "linear"  # linear | exponential (MiniCPM): how wsd falls to the floor
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    grad_clip: float = 1.0
    rounds: int = 1  # PanGu-pi Pro's multi-round training
    round_share: float = 0.5  # share of batches drawn for every further round, p ~ exp(loss)
    checkpoint_every: int = 100
    log_every: int = 10
    validation_batches: int = 8
    validate_every: int = 100  # steps between validations; 0 = only at the end


@dataclass
class Inherit:
    """First weights from a larger model of this run (PanGu-pi Pro): the blocks and units that count most."""

    model: str = ""  # name in models: the source
    phase: str = "base"  # of the source
    layers: str = "skip"  # skip | taylor: how the importance of a block is measured
    units: str = "taylor"  # l1 | l2 | taylor | mask: of channels, heads and neurons
    keep_ends: int = 1  # first and last blocks that always stay
    batches: int = 8  # of the base plan, on which importance is measured
    mask_steps: int = 100
    mask_lr: float = 0.05
    mask_penalty: float = 0.1  # x the sum of the mean gates


@dataclass
class Model:
    """Architecture + training plan by phase + seed. A phase's plan may be null: the phase is not made."""

    architecture: Architecture = field(default_factory=Architecture)
    base: Optional[str] = "pretrain"  # name in plans; null for an imported model
    instruct: Optional[str] = "instruct"
    call: Optional[str] = "call"
    seed: int = 0
    inherit: Optional[Inherit] = None  # null: the base phase starts from the seed
