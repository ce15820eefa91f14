"""Rows of embedding and head that stay when the target's tokenizer is cut from the source's (PanGu-pi Pro)."""

from __future__ import annotations

from pathlib import Path

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.model.decoder import Decoder


def kept_rows(tokenizer: Path, vocab_size: int) -> list[int] | None:
    """Rows of a source's embedding, in the order of the target's ids; None where both have the same vocabulary.

    ``tokenizer`` is the target's folder, ``vocab_size`` the source's, whose embedding may have rows of padding behind
    the pieces. Raises ArtifactError if they do not fit.
    """
    path = tokenizer / "pocketlm_tokenizer.json"
    report = read_json(path) if path.is_file() else {}
    pieces = report.get("vocab_size", vocab_size)
    if pieces == vocab_size:
        return None
    rows = [int(number) for number in report.get("kept_ids", range(pieces))]
    if report.get("base_vocab_size", pieces) > vocab_size:
        raise ArtifactError(
            f"{tokenizer}: {pieces} pieces, and the source of the inheritance has {vocab_size}; inherit within one "
            "tokenizer, or give the target one of kind compressed whose base is the source's"
        )
    return rows


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
