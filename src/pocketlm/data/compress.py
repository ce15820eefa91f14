"""A smaller vocabulary by PanGu-pi Pro's rule (arXiv 2402.02791): keep the most frequent pieces, drop the rest.

A piece is only kept together with the pieces that its merges are made of, so that every kept piece can still be
reached; the alphabet of bytes and the special tokens always stay, so that every text can still be spelled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pocketlm.artifacts import ArtifactError
from pocketlm.data.encode import Encoder, byte_of
from pocketlm.data.tokenizer import refuse_small

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


def merges_of(description: dict[str, Any]) -> list[tuple[str, str]]:
    """The merges of a ``tokenizer.json``, which writes each as a list or as ``"a b"``."""
    raw = description["model"]["merges"]
    pairs = [m.split(" ", 1) if isinstance(m, str) else m for m in raw]
    return [(a, b) for a, b in pairs]


def choose(description: dict[str, Any], counts: Counter[int], vocab_size: int) -> set[str]:
    """The pieces that stay: specials and bytes, then by frequency (ties: older first), each with its parents."""
    vocab: dict[str, int] = description["model"]["vocab"]
    parents: dict[str, tuple[str, str]] = {}
    for a, b in merges_of(description):
        parents.setdefault(a + b, (a, b))
    kept = {token["content"] for token in description["added_tokens"]} | (vocab.keys() & byte_of().keys())
    for piece in sorted(vocab.keys() - kept, key=lambda p: (-counts[vocab[p]], vocab[p])):
        missing, queue = set[str](), [piece]
        while queue:
            part = queue.pop()
            if part not in kept and part not in missing:
                missing.add(part)
                queue.extend(parents.get(part, ()))
        if len(kept) + len(missing) <= vocab_size and all(p in parents for p in missing):
            kept |= missing
    return kept


def compress(base: Tokenizer, texts: Iterable[str], vocab_size: int, name: str) -> tuple[Tokenizer, dict[str, Any]]:
    """(smaller tokenizer, report). Ids keep the base's order; raises for a size that is too small or too large."""
    from tokenizers import Tokenizer

    refuse_small(vocab_size, name)
    description = json.loads(base.to_str())
    if description["model"]["type"] != "BPE" or not byte_of().keys() <= description["model"]["vocab"].keys():
        raise ArtifactError(f"tokenizer '{name}': its base is not a byte-level BPE, so it cannot be compressed")
    before = base.get_vocab_size()
    if vocab_size >= before:
        raise ArtifactError(f"tokenizers.{name}.vocab_size: {vocab_size} is not below its base's {before}")
    counts = count_pieces(base, texts)
    kept = choose(description, counts, vocab_size)
    old: dict[str, int] = base.get_vocab(with_added_tokens=True)
    order = sorted(kept, key=lambda piece: old[piece])
    new = {piece: id for id, piece in enumerate(order)}
    model = description["model"]
    model["merges"] = [[a, b] for a, b in merges_of(description) if a in kept and b in kept and a + b in kept]
    model["vocab"] = {piece: new[piece] for piece in order}
    for token in description["added_tokens"]:
        token["id"] = new[token["content"]]
    total = sum(counts.values())
    covered = sum(counts[old[piece]] for piece in kept)
    report = {
        "base_vocab_size": before,
        "vocab_size": len(kept),
        "coverage": round(covered / total, 6) if total else None,
        "kept_ids": [old[piece] for piece in order],  # rows of the base's embedding that stay
    }
    return Tokenizer.from_str(json.dumps(description)), report
