"""The schema of ``params.yaml``: what every key is. ``checks.py`` says which values and combinations are possible.

No default reaches a result: ``pocketlm compose`` writes every key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional


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
class World:
    """Size of the embedded world (``data/world``). Same seed, same bytes on every machine."""

    seed: int = 0
    people: int = 32
    places: int = 16
    objects: int = 24
    stories: int = 24000
    dialogues: int = 6000
    calls: int = 12000
    items: int = 300  # held-out items of each task


@dataclass
class Source:
    """A named dataset with pinned content."""

    kind: str = "url"  # url | path | hub | embedded
    url: Optional[str] = None
    sha256: Optional[str] = None  # of the file (url, path)
    path: Optional[str] = None  # path sources: file name, looked up in the mirror by sha256 if it is not there
    repo: Optional[str] = None  # hub sources
    revision: Optional[str] = None  # hub sources: a commit, never a branch
    files: Dict[str, str] = field(default_factory=dict)  # hub sources: file -> sha256
    license: str = ""
    origin: str = ""


@dataclass
class Part:
    """One part of a corpus: a file of a source, read by a reader of ``data/readers.py``."""

    source: str = ""
    reader: str = "text"
    file: Optional[str] = None  # inside the source's folder; default its only file
    weight: float = 1.0  # share of the training tokens drawn from this part
    limit: Optional[int] = None  # keep at most so many documents
    split: str = "all"  # all | train | heldout: by a hash of the document's key
    heldout: float = 0.0  # share of documents in the held-out split


@dataclass
class Corpus:
    """A weighted mixture of sources for one training phase."""

    tokenizer: str = ""
    kind: str = "text"  # text: {"text"}; chat: {"messages", "tools"?}, loss on assistant tokens only
    parts: Dict[str, Part] = field(default_factory=dict)
    validation: float = 0.02  # share of documents held out for the validation loss, by hash
    decontaminate: List[str] = field(default_factory=list)  # suites whose prompts are looked up (13-grams)
    shards: int = 1  # jobs that encode it side by side; the tokens do not depend on it


@dataclass
class Tokenizer:
    kind: str = "bpe"  # bpe | imported | compressed
    vocab_size: int = 1024
    corpora: List[str] = field(default_factory=list)  # text that it is trained on (bpe) or counted on (compressed)
    digits: bool = True  # every digit a token of its own
    path: Optional[str] = None  # imported: a local Hugging Face folder
    base: Optional[str] = None  # compressed: the tokenizer entry that is cut down


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
