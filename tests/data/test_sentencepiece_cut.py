"""A vocabulary of SentencePiece's kind is cut by the same rule: every kept piece is reached, every text comes back."""

from __future__ import annotations

import json

import pytest
from cut_bases import TEXTS, sentencepiece
from tokenizers import Tokenizer, normalizers

from pocketlm.artifacts import ArtifactError
from pocketlm.data.compress import compress, count_pieces
from pocketlm.data.kept_pieces import derivation

STRANGE = ["", "the  cat", "ünïcödé 🙂 \u4e2d", "tab\there", "7 < 8", "Zzz"]


def test_every_kept_piece_is_reached_and_every_text_comes_back() -> None:
    base = sentencepiece()
    small, report = compress(base, TEXTS, 310, "small")
    pieces = small.get_vocab()
    assert len(pieces) == report["vocab_size"] <= 310 < base.get_vocab_size()
    assert {"<unk>", "<s>", "</s>", "<0x00>", "<0xFF>"} <= pieces.keys()
    small.normalizer = normalizers.Sequence([])  # the piece itself
    learnt = [piece for piece in pieces if not piece.startswith("<")]
    assert len(learnt) > 30 and max(map(len, learnt)) > 3
    for piece in learnt:
        assert small.encode(piece, add_special_tokens=False).tokens == [piece]
    small.normalizer = base.normalizer
    for text in STRANGE:
        ids = small.encode(text, add_special_tokens=False).ids
        assert small.decode(ids, skip_special_tokens=False) == text
        assert "<unk>" not in small.encode(text, add_special_tokens=False).tokens


def test_the_frequent_pieces_stay() -> None:
    """The share of the base's tokens that are kept is the coverage, and the most frequent are among them."""
    base = sentencepiece()
    small, report = compress(base, TEXTS, 310, "small")
    counts = count_pieces(base, TEXTS)
    tokens = [token for text in TEXTS for token in base.encode(text, add_special_tokens=False).tokens]
    kept = small.get_vocab()
    assert report["coverage"] == pytest.approx(sum(token in kept for token in tokens) / len(tokens), abs=1e-6)
    top = [base.id_to_token(id) for id, _ in counts.most_common(5)]
    assert set(top) <= kept.keys()


def test_derivation_follows_the_merges_in_order() -> None:
    """By hand: b+c comes first, so that a+b is never made; without a way to the end there is none."""
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("a", "bc"): 2}
    assert derivation("abc", ranks) == {"a", "b", "c", "bc", "abc"}
    assert derivation("ab", ranks) == {"a", "b", "ab"}
    assert derivation("abca", ranks) is None


def test_without_all_bytes_it_is_refused() -> None:
    description = json.loads(sentencepiece().to_str())
    del description["model"]["vocab"]["<0x41>"]
    with pytest.raises(ArtifactError, match="no BPE or Unigram with all bytes"):
        compress(Tokenizer.from_str(json.dumps(description)), TEXTS, 300, "small")
