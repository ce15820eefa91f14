"""A Unigram is cut by the same rule; what its scores never choose does not stay."""

from __future__ import annotations

import json

import pytest
from cut_bases import BYTES, SPECIALS, TEXTS, unigram
from tokenizers import Tokenizer

from pocketlm.artifacts import ArtifactError
from pocketlm.data.compress import compress, count_pieces
from pocketlm.data.vocabulary_sizes import coverages


@pytest.mark.parametrize("size", [259, 280, 340])
def test_every_kept_piece_is_chosen(size: int) -> None:
    small, report = compress(unigram(), TEXTS, size, "small")
    pieces = small.get_vocab()
    assert {*SPECIALS, *BYTES} <= pieces.keys() and len(pieces) == report["vocab_size"] <= size
    for piece in pieces.keys() - {*SPECIALS, *BYTES}:
        assert [token.value for token in small.model.tokenize(piece)] == [piece]


def test_the_most_frequent_stay_and_scores_are_carried_over() -> None:
    """Against the base one by one: its scores, its never chosen pieces, the counted share."""
    base = unigram()
    small, report = compress(base, TEXTS, 300, "small")
    counts, kept = count_pieces(base, TEXTS), set(report["kept_ids"])
    scores = [json.loads(tokenizer.to_str())["model"]["vocab"] for tokenizer in (base, small)]
    assert scores[1] == [scores[0][row] for row in report["kept_ids"]]
    dropped = [counts[id] for id in range(base.get_vocab_size()) if id not in kept]
    learnt = [counts[id] for id in kept if id >= 259]
    assert max(dropped) <= min(learnt) and len(learnt) == 300 - 259
    never = [piece for piece, _ in scores[0][259:] if [t.value for t in base.model.tokenize(piece)] != [piece]]
    assert report["never_chosen"] == len(never) > 0
    assert not set(never) & small.get_vocab().keys() and not any(counts[base.token_to_id(p)] for p in never)
    (found,) = coverages(json.loads(base.to_str()), counts, [300])
    assert found == (300, pytest.approx(report["coverage"], abs=1e-6))


def test_the_unknown_piece_moves() -> None:
    """``unk_id`` is an id: here it stands behind all others."""
    description = json.loads(unigram().to_str())
    vocab = description["model"]["vocab"]
    description["model"] |= {"vocab": [*vocab[1:], vocab[0]], "unk_id": len(vocab) - 1}
    for token in description["added_tokens"]:
        token["id"] = (token["id"] - 1) % len(vocab)
    small, report = compress(Tokenizer.from_str(json.dumps(description)), TEXTS, 300, "small")
    model = json.loads(small.to_str())["model"]
    assert model["unk_id"] == 299 == small.token_to_id("<unk>") and report["kept_ids"][-1] == len(vocab) - 1


def test_a_cut_is_cut_again() -> None:
    small, _ = compress(unigram(), TEXTS, 320, "small")
    smaller, _ = compress(small, TEXTS, 290, "smaller")
    before, after = (json.loads(one.to_str())["pre_tokenizer"] for one in (small, smaller))
    assert before == after and len(after["pretokenizers"]) == 1


def test_without_byte_fallback_it_is_refused() -> None:
    description = json.loads(unigram().to_str())
    description["model"]["byte_fallback"] = False
    with pytest.raises(ArtifactError, match="no BPE or Unigram with all bytes"):
        compress(Tokenizer.from_str(json.dumps(description)), TEXTS, 300, "small")
