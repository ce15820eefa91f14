"""The rule of PanGu-pi Pro: coverage counted by hand, shares of a hand-computed decoder, the pick."""

from __future__ import annotations

from collections import Counter

import pytest

from pocketlm.config import Architecture
from pocketlm.data import tokenizer
from pocketlm.data.compress import compress, count_pieces
from pocketlm.data.vocabulary_sizes import Size, coverages, pick, table

TEXTS = ["the cat sat on the mat and the dog sat on the log"] * 4 + ["Ada gave 7 red balls to Bo"] * 3
ARCH = Architecture(n_layers=1, d_model=64, n_heads=2, n_kv_heads=2, head_dim=32, d_ff=96, tied=False)


def test_coverage_is_that_of_the_tokenizer_that_is_cut() -> None:
    """Against the cut itself: tokens of the base's encoding whose piece is in the smaller vocabulary, one by one."""
    import json

    base = tokenizer.train(TEXTS, 290, True, "base")
    counts = count_pieces(base, TEXTS)
    found = coverages(json.loads(base.to_str()), counts, [270, 280, 290])
    for size, (kept, share) in zip((270, 280), found, strict=False):
        small, _ = compress(base, TEXTS, size, "small")
        pieces = [piece for text in TEXTS for piece in base.encode(text).tokens]
        assert kept == small.get_vocab_size()
        assert share == pytest.approx(sum(piece in small.get_vocab() for piece in pieces) / len(pieces))
    assert found[-1] == (290, 1.0)
    assert found[0][1] < found[1][1] < 1


def test_shares_are_of_embedding_and_head() -> None:
    """By hand: untied 2 x V x 64; a block of 4 x 64 x 64 + 3 x 64 x 96 + 2 x 64, and a last norm of 64."""
    description = {"added_tokens": [], "model": {"vocab": {"a": 0, "b": 1}, "merges": []}}
    (one,) = table(description, Counter({0: 3, 1: 1}), [2], ARCH)
    assert one.params == 2 * 2 * 64 + 4 * 64 * 64 + 3 * 64 * 96 + 3 * 64
    assert one.embedding_share == pytest.approx(256 / one.params) and one.coverage == 1


def test_the_largest_size_that_keeps_the_rule_is_picked() -> None:
    """The paper's numbers at 1B: 48k of 100k pieces cover 97.86% and take 18.07%; all pieces 38.19%."""
    small, chosen, whole = Size(8000, 0.85, 0.04, 0), Size(48000, 0.9786, 0.1807, 0), Size(100000, 1.0, 0.3819, 0)
    assert pick([small, chosen, whole]) == chosen
    assert pick([small, Size(32000, 0.95, 0.13, 0), chosen, whole]) == chosen
    assert pick([small, whole]) is None
    assert not Size(1, 0.90, 0.1, 0).keeps_the_rule and not Size(1, 0.95, 0.20, 0).keeps_the_rule
