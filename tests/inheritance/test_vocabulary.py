"""Rows of embedding and head that a target takes over, by its tokenizer and its source's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_shapes import VOCAB, make
from sources import BIG

from pocketlm.config import Architecture
from pocketlm.model.decoder import Decoder


def test_rows_of_kept_pieces_are_carried_over(tmp_path: Path) -> None:
    """With a tokenizer that is cut from the source's, a kept piece keeps its rows of embedding and head."""
    from pocketlm.artifacts import ArtifactError, write_json
    from pocketlm.inheritance.vocabulary import cut_vocabulary, kept_rows

    source = make(**BIG, tied=False).eval()
    rows = [0, 3, 4, VOCAB - 1]
    report = {"kind": "compressed", "vocab_size": len(rows), "base_vocab_size": VOCAB, "kept_ids": rows}
    write_json(tmp_path / "pocketlm_tokenizer.json", report)
    embedding, head = (value.detach().clone() for value in (source.model.embed_tokens.weight, source.lm_head.weight))
    assert kept_rows(tmp_path, tmp_path / "source", VOCAB) == rows
    logits = source.logits(source(torch.tensor([rows])))
    cut_vocabulary(source, rows)
    assert torch.equal(source.model.embed_tokens.weight, embedding[rows])
    assert torch.equal(source.lm_head.weight, head[rows]) and source.vocab_size == 4
    torch.testing.assert_close(source.logits(source(torch.tensor([[0, 1, 2, 3]]))), logits[..., rows])
    write_json(tmp_path / "pocketlm_tokenizer.json", {"kind": "bpe", "vocab_size": VOCAB})
    assert kept_rows(tmp_path, tmp_path / "source", VOCAB) is None
    with pytest.raises(ArtifactError, match="inherit within one tokenizer"):
        kept_rows(tmp_path, tmp_path / "source", VOCAB - 1)
    write_json(tmp_path / "pocketlm_tokenizer.json", report)
    with pytest.raises(ArtifactError, match="compressed whose base is the source's"):
        kept_rows(tmp_path, tmp_path / "source", VOCAB - 1)


def test_rows_of_padding_are_left_behind(tmp_path: Path) -> None:
    """A checkpoint's embedding may be longer than its vocabulary; with its tokenizer and with one cut from it.

    A source that has another tokenizer is refused, though it has rows enough.
    """
    from pocketlm.artifacts import ArtifactError
    from pocketlm.data import tokenizer
    from pocketlm.data.compress import compress
    from pocketlm.data.cut_folder import save_cut
    from pocketlm.inheritance.vocabulary import kept_rows

    texts = ["the cat sat on the mat and the dog sat on the log", "Ada gave 7 red balls to Bo, the other thing"] * 5
    own, other = (tokenizer.train(texts, size, True, "own") for size in (300, 290))
    small, report = compress(own, texts, 280, "small")
    own_folder, other_folder, small_folder = (tmp_path / name for name in ("own", "other", "small"))
    for folder, made in ((own_folder, own), (other_folder, other)):
        folder.mkdir()
        tokenizer.save(made, folder, {"kind": "bpe", "vocab_size": made.get_vocab_size()})
    small_folder.mkdir()
    save_cut(small, own_folder, small_folder, {"kind": "compressed"} | report)
    assert kept_rows(own_folder, own_folder, 324) == list(range(300))
    assert kept_rows(small_folder, own_folder, 324) == kept_rows(small_folder, own_folder, 300) == report["kept_ids"]
    for target, source, rows in ((other_folder, own_folder, 324), (small_folder, other_folder, 324)):
        with pytest.raises(ArtifactError, match="inherit within one tokenizer"):
            kept_rows(target, source, rows)
    with pytest.raises(ArtifactError, match="300 in 290 rows"):
        kept_rows(own_folder, own_folder, 290)


def test_rows_of_a_real_cut_are_carried_over(tmp_path: Path) -> None:
    """Piece by piece: its row in the cut model is its row in the source; among the kept pieces the logits stay."""
    from pocketlm.data import tokenizer
    from pocketlm.data.compress import compress
    from pocketlm.data.cut_folder import save_cut
    from pocketlm.inheritance.vocabulary import cut_vocabulary, kept_rows

    texts = ["the cat sat on the mat and the dog sat on the log", "Ada gave 7 red balls to Bo, the other thing"] * 5
    base = tokenizer.train(texts, 300, True, "base")
    small, report = compress(base, texts, 280, "small")
    (tmp_path / "base").mkdir()
    (tmp_path / "small").mkdir()
    tokenizer.save(base, tmp_path / "base", {})
    save_cut(small, tmp_path / "base", tmp_path / "small", {"kind": "compressed"} | report)
    source = Decoder(Architecture(**BIG, d_model=24, tied=False), 300, seed=1).eval()
    weights = [value.detach().clone() for value in (source.model.embed_tokens.weight, source.lm_head.weight)]
    ids = small.encode(texts[0]).ids
    assert [base.token_to_id(small.id_to_token(id)) for id in ids] != ids and base.encode(texts[0]).ids != ids
    before = source.logits(source(torch.tensor([[base.token_to_id(small.id_to_token(id)) for id in ids]])))
    rows = kept_rows(tmp_path / "small", tmp_path / "base", 300)
    assert rows is not None
    cut_vocabulary(source, rows)
    for piece, id in small.get_vocab().items():
        for old, new in zip(weights, (source.model.embed_tokens.weight, source.lm_head.weight), strict=True):
            assert torch.equal(new[id], old[base.token_to_id(piece)]), piece
    torch.testing.assert_close(source.logits(source(torch.tensor([ids]))), before[..., rows])
    assert kept_rows(tmp_path / "small", tmp_path / "small", 280) is None  # the source has the cut one itself
