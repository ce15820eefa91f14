"""A smaller vocabulary by PanGu-pi Pro's rule (arXiv 2402.02791): keep the most frequent pieces, drop the rest.

Every kept piece can still be reached and every text still be spelled (``kept_pieces``). Byte-level vocabularies and
those of SentencePiece with byte fallback, BPE or Unigram, are cut alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from pocketlm.artifacts import ArtifactError
from pocketlm.data.cut_description import cut
from pocketlm.data.encode import Encoder
from pocketlm.data.kept_pieces import choose, merges_of, never_chosen, refuse_kind, refuse_less

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 512


def count_pieces(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[int]:
    """How often each id occurs in the texts."""
    encode, counts, batch = Encoder(tokenizer), Counter[int](), list[str]()
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            for ids in encode(batch):
                counts.update(ids)
            batch = []
    for ids in encode(batch):
        counts.update(ids)
    return counts


def compress(
    base: Tokenizer, texts: Iterable[str], vocab_size: int, name: str, named: Collection[str] = ()
) -> tuple[Tokenizer, dict[str, Any]]:
    """(smaller tokenizer, report). Ids keep the base's order; ``named``: tokens that its folder names, which stay.

    Raises ConfigError for a size below the specials and bytes, ArtifactError for one that is not below the base's and
    for a base of another kind.
    """
    from tokenizers import Tokenizer

    description = json.loads(base.to_str())
    refuse_kind(description, name)
    refuse_less(description, vocab_size, f"tokenizers.{name}.vocab_size", named)
    before = base.get_vocab_size()
    if vocab_size >= before:
        raise ArtifactError(f"tokenizers.{name}.vocab_size: {vocab_size} is not below its base's {before}")
    counts = count_pieces(base, texts)
    unigram = description["model"]["type"] == "Unigram"
    about = {"never_chosen": never_chosen(description)} if unigram else {}
    kept = choose(description, counts, vocab_size, named)
    rows = cut(description, kept, [] if unigram else merges_of(description))
    total = sum(counts.values())
    covered = sum(counts[row] for row in rows)
    report = {
        "base_vocab_size": before,
        "vocab_size": len(kept),
        "coverage": round(covered / total, 6) if total else None,
        "kept_ids": rows,  # rows of the base's embedding that stay
    }
    return Tokenizer.from_str(json.dumps(description)), report | about
