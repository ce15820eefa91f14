"""A smaller vocabulary by PanGu-pi Pro's rule (arXiv 2402.02791): keep the most frequent pieces, drop the rest.

A piece is only kept together with the pieces that BPE passes through on its way to it, so that every kept piece can
still be reached; the bytes and the special tokens always stay, so that every text can still be spelled. Byte-level
vocabularies and those of SentencePiece (with byte fallback) are cut alike.
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


def alphabet(vocab: dict[str, int]) -> set[str] | None:
    """The pieces that spell every text: GPT-2's letters for bytes, or SentencePiece's ``<0x41>``; None without them."""
    for letters in (byte_of().keys(), {f"<0x{number:02X}>" for number in range(256)}):
        if letters <= vocab.keys():
            return set(letters)
    return None


def derivation(piece: str, ranks: dict[tuple[str, str], int]) -> set[str] | None:
    """Every piece that BPE passes through on its way to this one; None if it never gets there.

    Of two smaller vocabularies with the same merges left, the one that holds these reaches the piece by the same
    steps: whatever is merged first with all pieces is still there, and nothing comes before it that did not before.
    """
    parts, passed = list(piece), set(piece) | {piece}
    while len(parts) > 1:
        pairs = [(ranks.get(pair, len(ranks)), place) for place, pair in enumerate(zip(parts, parts[1:]))]
        rank, place = min(pairs)
        if rank == len(ranks):
            return None
        parts[place : place + 2] = ["".join(parts[place : place + 2])]
        passed.add(parts[place])
    return passed


def choose(description: dict[str, Any], counts: Counter[int], vocab_size: int) -> set[str]:
    """The pieces that stay: specials and bytes, then by frequency (ties: older first), each with what it is made of.

    A single character of a SentencePiece vocabulary stands for itself; without it, its bytes do.
    """
    vocab: dict[str, int] = description["model"]["vocab"]
    ranks = {pair: rank for rank, pair in enumerate(merges_of(description))}
    kept = {token["content"] for token in description["added_tokens"]} | (alphabet(vocab) or set())
    kept |= {description["model"].get("unk_token")} & vocab.keys()
    for piece in sorted(vocab.keys() - kept, key=lambda p: (-counts[vocab[p]], vocab[p])):
        if piece in kept or len(kept) == vocab_size:
            continue
        passed = derivation(piece, ranks)
        if passed is not None and passed <= vocab.keys() and len(kept | passed) <= vocab_size:
            kept |= passed
    return kept


def compress(base: Tokenizer, texts: Iterable[str], vocab_size: int, name: str) -> tuple[Tokenizer, dict[str, Any]]:
    """(smaller tokenizer, report). Ids keep the base's order; raises for a size that is too small or too large."""
    from tokenizers import Tokenizer

    refuse_small(vocab_size, name)
    description = json.loads(base.to_str())
    if description["model"]["type"] != "BPE" or alphabet(description["model"]["vocab"]) is None:
        reason = "its base is no BPE with all bytes (byte-level, or SentencePiece with byte fallback)"
        raise ArtifactError(f"tokenizer '{name}': {reason}, so it cannot be compressed")
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
