"""The grid of candidates as arrays, and what budgets leave of it. Tens of thousands of candidates a second."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlm.config import Architecture, Budget, ConfigError, Space
from pocketlm.model import counts
from pocketlm.profiling.predictor import Predictor
from pocketlm.profiling.shapes import ACTIVATIONS

AXES = (
    "tokenizers",
    "n_layers",
    "d_model",
    "head_dim",
    "kv_share",
    "ffn_ratio",
    "activation",
    "gated",
    "tied",
    "sharing",
)
FFN_MULTIPLE = 8
MIB = 2**20


@dataclass
class Candidates:
    """Fields of many architectures, each an array [n], and what was computed for them."""

    fields: dict[str, Any]
    tokenizers: list[str]
    max_seq_len: int
    init_std: float = 0.02

    def __len__(self) -> int:
        return len(self.fields["n_layers"])

    def take(self, index: Any) -> Candidates:
        """Those at ``index`` (numbers or a mask)."""
        return Candidates(
            {k: v[index] for k, v in self.fields.items()}, self.tokenizers, self.max_seq_len, self.init_std
        )

    def namespace(self) -> SimpleNamespace:
        """The form that ``model.counts`` takes."""
        zero = np.zeros(len(self), dtype=np.int64)
        return SimpleNamespace(**self.fields, series=zero, shortcuts=zero, shortcut_ratio=zero + 32)

    def architecture(self, i: int) -> Architecture:
        """One candidate as an architecture."""
        f = {name: values[i].item() for name, values in self.fields.items()}
        whole: tuple[str, ...] = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "sharing")
        sizes: dict[str, Any] = {name: int(f[name]) for name in whole}
        return Architecture(
            kind="searched",
            tokenizer=self.tokenizers[f["tokenizer"]],
            activation=ACTIVATIONS[f["activation"]],
            gated=bool(f["gated"]),
            tied=bool(f["tied"]),
            max_seq_len=self.max_seq_len,
            init_std=self.init_std,
            **sizes,
        )


def enumerate_space(space: Space, vocabularies: Mapping[str, int]) -> tuple[Candidates, int]:
    """All candidates whose heads divide, in the order of the grid, and the size of the whole grid."""
    empty = [name for name in AXES if not getattr(space, name)]
    if empty:
        raise ConfigError(f"search.space.{empty[0]}: no values; give at least one")
    unknown = [name for name in space.activation if name not in ACTIVATIONS]
    if unknown:
        raise ConfigError(f"search.space.activation: {unknown[0]}: unknown; use some of {', '.join(ACTIVATIONS)}")
    values: list[list[Any]] = [list(getattr(space, name)) for name in AXES]
    values[0] = list(range(len(space.tokenizers)))
    values[6] = [ACTIVATIONS.index(name) for name in space.activation]
    grid = [axis.ravel() for axis in np.meshgrid(*(np.asarray(v) for v in values), indexing="ij")]
    g = dict(zip(AXES, grid, strict=True))
    heads = g["d_model"] // g["head_dim"]
    keep = (g["d_model"] % g["head_dim"] == 0) & (heads > 0) & (heads % g["kv_share"] == 0)
    g, heads = {name: axis[keep] for name, axis in g.items()}, heads[keep]
    d_ff = np.maximum(1, np.rint(g["d_model"] * g["ffn_ratio"] / FFN_MULTIPLE)).astype(np.int64) * FFN_MULTIPLE
    vocab = np.array([vocabularies[name] for name in space.tokenizers], dtype=np.int64)[g["tokenizers"]]
    fields = {name: g[name] for name in ("n_layers", "d_model", "head_dim", "sharing", "activation")}
    fields |= {name: g[name].astype(np.int64) for name in ("gated", "tied")}
    fields |= {"n_heads": heads, "n_kv_heads": heads // g["kv_share"], "d_ff": d_ff}
    fields |= {"tokenizer": g["tokenizers"], "vocab_size": vocab}
    return Candidates(fields, list(space.tokenizers), space.max_seq_len, space.init_std), len(keep)


def memory_mib(arch: Any, vocab_size: Any, tokens: int) -> Any:
    """MiB of fp32 weights and of the KV cache for so many tokens."""
    return (counts.weight_bytes(arch, vocab_size, "fp32") + counts.kv_bytes_per_token(arch, 4) * tokens) / MIB


def costs(candidates: Candidates, predictor: Predictor, budget: Budget) -> dict[str, NDArray[np.float64]]:
    """Parameters, memory (fp32 weights and KV cache at max_seq_len, MiB) and predicted latencies (ms), each [n]."""
    arch, vocab = candidates.namespace(), candidates.fields["vocab_size"]
    return {
        "params": np.asarray(counts.count_params_array(arch, vocab), dtype=np.float64),
        "memory_mib": np.asarray(memory_mib(arch, vocab, candidates.max_seq_len), dtype=np.float64),
        "prefill_ms": predictor.predict(candidates.fields, budget.prompt, "prefill"),
        "decode_ms": predictor.predict(candidates.fields, budget.depth, "decode"),
    }


def within(cost: Mapping[str, NDArray[np.float64]], budget: Budget, latency: Mapping[str, float]) -> dict[str, Any]:
    """The mask of each filter, by name; a bound of 0 is off. ``latency``: ms bounds of prefill and decode."""
    everything = np.ones(len(cost["params"]), dtype=bool)

    def most(values: NDArray[np.float64], bound: float) -> Any:
        return values <= bound if bound else everything

    return {
        "params": (cost["params"] >= budget.min_params) & most(cost["params"], budget.max_params),
        "memory": most(cost["memory_mib"], budget.max_memory_mib),
        "prefill": most(cost["prefill_ms"], latency["prefill_ms"]),
        "decode": most(cost["decode_ms"], latency["decode_ms"]),
    }


def counted(masks: Mapping[str, Any], grid: int) -> dict[str, int]:
    """How many candidates each filter leaves after those before it."""
    found = {"grid": grid, "filtered": len(next(iter(masks.values())))}
    for (name, _), mask in zip(masks.items(), itertools.accumulate(masks.values(), np.logical_and), strict=True):
        found[f"after_{name}"] = int(mask.sum())
    return found
