"""Weights of foreign checkpoints as ours, bit-exact; and the checks of what comes in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture
from pocketlm.model.folder import read_tensors
from pocketlm.model.foreign import import_config
from pocketlm.model.state import check_state, expected_shapes


def from_foreign(state: Mapping[str, Any], arch: Architecture, vocab_size: int, where: str) -> dict[str, Any]:
    """Our tensors of a foreign checkpoint: position tables and the second copy of a tied head are left out."""
    ours = {n: t for n, t in state.items() if not n.endswith("rotary_emb.inv_freq")}
    head = ours.get("lm_head.weight")
    if arch.tied and head is not None:
        if not bool((head == ours["model.embed_tokens.weight"]).all()):
            raise ArtifactError(
                f"{where}: tied embeddings, but lm_head.weight differs from model.embed_tokens.weight; "
                "set tie_word_embeddings (MobileLLM: share_embedding) to false in config.json"
            )
        del ours["lm_head.weight"]
    if not arch.tied and head is None:
        raise ArtifactError(
            f"{where}: untied embeddings, but lm_head.weight is missing; a checkpoint that shares its embedding needs "
            "tie_word_embeddings: true in config.json (MobileLLM's own configs: share_embedding: true)"
        )
    check_state(ours, expected_shapes(arch, vocab_size), where)
    return ours


def import_folder(folder: str | Path) -> tuple[dict[str, Any], Architecture, int]:
    """(state, architecture, vocabulary) of a local Llama, MobileLLM or PhoneLM folder with safetensors."""
    arch, vocab_size = import_config(folder)
    return from_foreign(read_tensors(Path(folder)), arch, vocab_size, str(folder)), arch, vocab_size
