"""A ``tokenizer.json`` with fewer pieces: its vocabulary, merges or scores, and every id that it holds elsewhere.

Ids keep the base's order. Besides the vocabulary, ids stand in the post-processor (what is put at the ends of a text),
in the padding and in a Unigram's ``unk_id``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def pieces_of(description: dict[str, Any]) -> dict[str, int]:
    """{piece: its id} of the model; a Unigram lists [piece, score] by id."""
    vocab = description["model"]["vocab"]
    return dict(vocab) if isinstance(vocab, dict) else {piece: id for id, (piece, _) in enumerate(vocab)}


def ids_of(description: dict[str, Any]) -> dict[str, int]:
    """{piece: its id}, with the tokens that were added to the model."""
    return {token["content"]: token["id"] for token in description["added_tokens"]} | pieces_of(description)


def steps(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A normalizer, pre-tokenizer or processor, and those that it is a sequence of."""
    if step is not None:
        yield step
        for key in ("normalizers", "pretokenizers", "processors"):
            for part in step.get(key, ()):
                yield from steps(part)


def move_ids(description: dict[str, Any], move: Callable[[int], int]) -> None:
    """Replace the ids of the post-processor (of each kind that the library has) and of the padding, in place."""
    for step in steps(description.get("post_processor")):
        if step["type"] == "TemplateProcessing":
            for token in step["special_tokens"].values():
                token["ids"] = [move(id) for id in token["ids"]]
        for end in ("sep", "cls"):  # RobertaProcessing, BertProcessing: [token, id]
            if end in step:
                step[end] = [step[end][0], move(step[end][1])]
    if description.get("padding"):
        description["padding"]["pad_id"] = move(description["padding"]["pad_id"])


def held_ids(description: dict[str, Any]) -> set[int]:
    """The ids of the post-processor and of the padding."""
    found: set[int] = set()

    def note(id: int) -> int:
        found.add(id)
        return id

    move_ids(copy.deepcopy({key: description.get(key) for key in ("post_processor", "padding")}), note)
    return found


def controls(description: dict[str, Any]) -> set[str]:
    """Pieces that no text may become by its letters: special tokens, and ``<0x41>`` where it stands for a byte."""
    found = {token["content"] for token in description["added_tokens"] if token["special"]}
    if description["model"].get("byte_fallback"):
        found |= {piece for piece in pieces_of(description) if BYTE.fullmatch(piece)}
    return {piece for piece in found if len(piece) > 1}


def split_pattern(pieces: set[str]) -> re.Pattern[str] | None:
    """Finds the first character of each literal piece; None for no pieces."""
    rests: dict[str, set[str]] = {}
    for piece in pieces:
        rest = BYTE.pattern[1:] if BYTE.fullmatch(piece) else re.escape(piece[1:])
        rests.setdefault(re.escape(piece[0]), set()).add(rest)
    every = [f"{first}(?={'|'.join(sorted(after))})" for first, after in sorted(rests.items())]
    return re.compile("|".join(every)) if every else None


def spell_controls(description: dict[str, Any]) -> None:
    """Split a Unigram's literal control tokens behind their first character, in place.

    Its scores alone would read the text ``<0x41>`` as the byte A, and ``</s>`` as the end of a text.
    """
    pattern = split_pattern(controls(description))
    if pattern is not None:
        split = {"type": "Split", "pattern": {"Regex": pattern.pattern}, "behavior": "Isolated", "invert": False}
        before = description.get("pre_tokenizer")
        parts = before["pretokenizers"] if before and before["type"] == "Sequence" else [before] if before else []
        own = parts if split in parts else [*parts, split]  # a base that was cut itself has it
        description["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": own}


def cut(description: dict[str, Any], kept: set[str], merges: list[tuple[str, str]]) -> list[int]:
    """Leave the pieces ``kept``, in place; returns their ids of before, in the order of the new ones.

    ``merges`` are those of the base. Added tokens that lie behind the model's vocabulary stay behind it.
    """
    old, model = ids_of(description), description["model"]
    order = sorted(kept, key=lambda piece: old[piece])
    new = {piece: id for id, piece in enumerate(order)}
    moved = {old[piece]: new[piece] for piece in order}
    inside = order[: 1 + max(new[piece] for piece in kept & pieces_of(description).keys())]
    if model["type"] == "Unigram":
        spell_controls(description)
        model["unk_id"] = None if model.get("unk_id") is None else moved[model["unk_id"]]
        model["vocab"] = [model["vocab"][old[piece]] for piece in inside]
    else:
        made = kept - controls(description)
        model["merges"] = [[a, b] for a, b in merges if a in kept and b in kept and a + b in made]
        model["vocab"] = {piece: new[piece] for piece in inside}
    for token in description["added_tokens"]:
        token["id"] = new[token["content"]]
    move_ids(description, moved.__getitem__)
    return [old[piece] for piece in order]
