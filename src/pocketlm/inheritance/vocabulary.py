"""Rows of embedding and head that stay when the target's tokenizer is cut from the source's (PanGu-pi Pro)."""

from __future__ import annotations

from pathlib import Path

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.model.decoder import Decoder


def kept_rows(tokenizer: Path, vocab_size: int) -> list[int] | None:
    """Rows of a source's embedding, in the order of the target's ids; None where both have the same vocabulary.

    ``tokenizer`` is the target's folder, ``vocab_size`` the source's. Raises ArtifactError if they do not fit.
    """
    path = tokenizer / "pocketlm_tokenizer.json"
    report = read_json(path) if path.is_file() else {}
    if report.get("vocab_size", vocab_size) == vocab_size:
        return None
    if "kept_ids" not in report or report["base_vocab_size"] != vocab_size:
        own = f"{report['vocab_size']} pieces"
        raise ArtifactError(
            f"{tokenizer}: {own}, and the source of the inheritance has {vocab_size}; inherit within one tokenizer, or "
            "give the target one of kind compressed whose base is the source's"
        )
    return [int(number) for number in report["kept_ids"]]


def cut_vocabulary(source: Decoder, rows: list[int]) -> None:
    """Leave only these rows of the source's embedding and head, in place: every kept piece keeps its weights."""
    from torch import nn

    embedding = source.model.embed_tokens
    embedding.weight = nn.Parameter(embedding.weight.detach()[rows].clone())
    embedding.num_embeddings = len(rows)
    if source.lm_head is not None:
        source.lm_head.weight = nn.Parameter(source.lm_head.weight.detach()[rows].clone())
        source.lm_head.out_features = len(rows)
    source.vocab_size = len(rows)
