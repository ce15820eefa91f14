"""Which pieces of a vocabulary stay: specials and bytes always, then the most frequent (PanGu-pi Pro, 2402.02791).

The specials and the bytes spell every text. A piece of a BPE is only kept together with the pieces that BPE passes
through on its way to it. A Unigram picks the spelling with the best sum of scores, which dropping others never makes
worse for a piece: one that is picked for its own text stays picked. One that is not is never chosen, and not kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.data.cut_description import controls, held_ids, ids_of, pieces_of, split_pattern, steps
from pocketlm.data.encode import byte_of

Way = Callable[[str], set[str] | None]


def merges_of(description: dict[str, Any]) -> list[tuple[str, str]]:
    """The merges of a ``tokenizer.json``, which writes each as a list or as ``"a b"``."""
    raw = description["model"]["merges"]
    pairs = [m.split(" ", 1) if isinstance(m, str) else m for m in raw]
    return [(a, b) for a, b in pairs]


def alphabet(description: dict[str, Any]) -> set[str] | None:
    """The pieces that spell every text: SentencePiece's ``<0x41>``, or GPT-2's letters for bytes; None without them.

    A large vocabulary may hold all of those letters as mere letters: they are bytes only in a byte-level tokenizer.
    """
    if description["model"].get("byte_fallback"):
        letters = {f"<0x{number:02X}>" for number in range(256)}
    else:
        before = [*steps(description.get("normalizer")), *steps(description.get("pre_tokenizer"))]
        letters = set(byte_of()) if any(step["type"] == "ByteLevel" for step in before) else set()
    return letters if letters and letters <= pieces_of(description).keys() else None


def always(description: dict[str, Any], named: Collection[str] = ()) -> set[str]:
    """Pieces that stay at any size: bytes, added tokens, the unknown one, those ``named`` and those put at the ends.

    Raises ArtifactError if the tokenizer puts an id at the ends of a text that is no piece.
    """
    ids, model = ids_of(description), description["model"]
    kept = {token["content"] for token in description["added_tokens"]} | (alphabet(description) or set())
    kept |= {model.get("unk_token"), *named} & ids.keys()
    if model.get("unk_id") is not None:
        kept.add(model["vocab"][model["unk_id"]][0])
    pieces = {id: piece for piece, id in ids.items()}
    for id in held_ids(description):
        if id not in pieces:
            raise ArtifactError(f"tokenizer.json: its post_processor or padding holds the id {id}, which is no piece")
        kept.add(pieces[id])
    return kept


def refuse_kind(description: dict[str, Any], name: str) -> None:
    """Only what spells every byte can be cut; raises ArtifactError."""
    model = description["model"]
    marked = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model["type"] not in ("BPE", "Unigram") or marked or alphabet(description) is None:
        reason = "its base is no BPE or Unigram with all bytes (byte-level, or SentencePiece with byte fallback)"
        raise ArtifactError(f"tokenizer '{name}': {reason}, so it cannot be compressed")


def refuse_less(description: dict[str, Any], vocab_size: int, key: str, named: Collection[str] = ()) -> None:
    """A size below what always stays; raises ConfigError that names the least one."""
    least = len(always(description, named))
    if vocab_size < least:
        raise ConfigError(
            f"{key}: {vocab_size} is below {least} (256 bytes and {least - 256} special tokens of its base); "
            f"choose at least {least}"
        )


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


def merged(description: dict[str, Any], counts: Counter[int]) -> Way:
    """For a BPE: what a piece is made of. Not by way of a control token, whose merges go (``cut_description``)."""
    vocab, refused = pieces_of(description), controls(description)
    ranks = {pair: rank for rank, pair in enumerate(merges_of(description))}
    whole_words = description["model"].get("ignore_merges")

    def way(piece: str) -> set[str] | None:
        passed = derivation(piece, ranks)
        if passed is not None and passed <= vocab.keys() and not passed & refused:
            return passed
        return {piece} if whole_words and counts[vocab[piece]] else None  # it was met, so as a word of its own

    return way


def chosen(description: dict[str, Any]) -> Way:
    """For a Unigram: a piece stands alone, if the scores choose it for its own text."""
    from tokenizers import Tokenizer

    model, refused = Tokenizer.from_str(json.dumps(description)).model, split_pattern(controls(description))

    def way(piece: str) -> set[str] | None:
        if refused is not None and refused.search(piece):
            return None
        return {piece} if [token.value for token in model.tokenize(piece)] == [piece] else None

    return way


def choose(description: dict[str, Any], counts: Counter[int], vocab_size: int, named: Collection[str] = ()) -> set[str]:
    """The pieces that stay: those of ``always``, then by frequency (ties: older first), each with what it is made of.

    A single character of a SentencePiece vocabulary stands for itself; without it, its bytes do.
    """
    vocab, kept = pieces_of(description), always(description, named)
    way = chosen(description) if description["model"]["type"] == "Unigram" else merged(description, counts)
    for piece in sorted(vocab.keys() - kept, key=lambda p: (-counts[vocab[p]], vocab[p])):
        if piece in kept or len(kept) >= vocab_size:
            continue
        passed = way(piece)
        if passed is not None and len(kept) + len(passed - kept) <= vocab_size:
            kept |= passed
    return kept


def never_chosen(description: dict[str, Any]) -> int:
    """How many pieces of a Unigram are never chosen, whatever the text; they are not kept."""
    way = chosen(description)
    return sum(way(piece) is None for piece in pieces_of(description).keys() - always(description))
