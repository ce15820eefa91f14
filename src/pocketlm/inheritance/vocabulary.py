"""Rows of embedding and head that stay when the target's tokenizer is cut from the source's (PanGu-pi Pro)."""

from __future__ import annotations

from pathlib import Path

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.model.decoder import Decoder


def kept_rows(tokenizer: Path, source: Path, vocab_size: int) -> list[int] | None:
    """Rows of a source's embedding, in the order of the target's ids; None where both have the same vocabulary.

    ``tokenizer`` is the target's folder, ``source`` the source's model folder with the tokenizer of its own, and
    ``vocab_size`` the rows of its embedding: there may be padding behind the pieces. Raises ArtifactError where they
    do not fit.
    """
    path = tokenizer / "pocketlm_tokenizer.json"
    report = read_json(path) if path.is_file() else {}
    known = pieces_of(source, vocab_size)
    pieces = report.get("vocab_size", vocab_size)
    if pieces == known <= vocab_size:
        return None if known == vocab_size else list(range(known))
    if "kept_ids" not in report or report["base_vocab_size"] != known or known > vocab_size:
        raise ArtifactError(
            f"{tokenizer}: {pieces} pieces, and the source of the inheritance has {known} in {vocab_size} rows; "
            "inherit within one tokenizer, or give the target one of kind compressed whose base is the source's"
        )
    return [int(number) for number in report["kept_ids"]]


def pieces_of(source: Path, vocab_size: int) -> int:
    """The pieces of the tokenizer in a model folder; its embedding's rows where there is none."""
    path = source / "tokenizer.json"
    if not path.is_file():
        return vocab_size
    from tokenizers import Tokenizer

    return int(Tokenizer.from_file(str(path)).get_vocab_size(with_added_tokens=True))


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
