"""Weights of foreign checkpoints as ours, bit-exact; and the checks of what comes in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture
from pocketlm.model.folder import read_tensors
from pocketlm.model.foreign import BOTH, import_config
from pocketlm.model.state import check_state, expected_shapes

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def import_folder(folder: str | Path) -> tuple[dict[str, Tensor], Architecture, int]:
    """(state, architecture, vocabulary) of a local Llama, MobileLLM or PhoneLM folder with safetensors."""
    arch, vocab_size = import_config(folder)
    return from_foreign(read_tensors(Path(folder)), arch, vocab_size, str(folder)), arch, vocab_size


def from_foreign(state: Mapping[str, Tensor], arch: Architecture, vocab_size: int, where: str) -> dict[str, Tensor]:
    """Our tensors of a foreign checkpoint: position tables and the second copy of a tied head are left out."""
    ours = {n: t for n, t in state.items() if not n.endswith("rotary_emb.inv_freq")}
    common_dtype(ours, where)  # before anything is compared: not every format can be
    if not arch.tied and HEAD not in ours:
        raise ArtifactError(
            f"{where}: untied embeddings, but {HEAD} is missing; a checkpoint that shares its embedding needs "
            f"tie_word_embeddings: true in config.json. A MobileLLM says it by share_embedding: true instead. {BOTH}"
        )
    if arch.tied:
        drop_copy(ours, where)
    check_state(ours, expected_shapes(arch, vocab_size), where)
    return ours


def drop_copy(state: dict[str, Tensor], where: str) -> None:
    """Remove a head that is the embedding again; ArtifactError for one that is not. Absent ones: ``check_state``."""
    if HEAD not in state or EMBEDDING not in state:
        return
    head, embedding = state[HEAD], state[EMBEDDING]
    same_shape = head.shape == embedding.shape
    if not same_shape or not bool((head == embedding).all()):
        how = "" if same_shape else f" in shape, {tuple(head.shape)}, not {tuple(embedding.shape)}"
        raise ArtifactError(
            f"{where}: tied embeddings, but {HEAD} differs from {EMBEDDING}{how}; "
            "set tie_word_embeddings (MobileLLM: share_embedding) to false in config.json"
        )
    del state[HEAD]


def common_dtype(state: Mapping[str, Tensor], where: str) -> torch.dtype:
    """The dtype that holds every tensor exactly: their own, or fp32 for a mixture. ArtifactError for other ones."""
    for name, tensor in state.items():
        if tensor.dtype not in DTYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ArtifactError(f"{where}: {name} is {kind}; float16, bfloat16 and float32 weights can be imported")
    if not state:
        raise ArtifactError(f"{where}: no weights in its safetensors; fetch the checkpoint again")
    return reduce(torch.promote_types, (tensor.dtype for tensor in state.values()))
