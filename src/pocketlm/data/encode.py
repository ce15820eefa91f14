"""Encoding at the speed of the fastest library that yields the same ids.

``tokenizers`` is the reference. For this project's own byte-level BPE the same merges run in tiktoken, several times as
fast, if it is installed and has given the same ids on a sample; a test compares the two over the whole basic plane.
Outside that plane the two libraries know different versions of Unicode (a digit added in Unicode 17 is one here and
none there), so texts with such characters always take the reference.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # ids do not depend on it
SAMPLE = 32  # texts on which the fast encoder is compared before it is used
ASTRAL = re.compile("[\U00010000-\U0010ffff]")
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+|"
PATTERN = WORDS + r" ?\p{N}+" + REST + r"\s+(?!\S)|\s+"
# a digit ends the piece before it, so white space in front of a digit stays whole
PATTERN_DIGITS = WORDS + r"\p{N}" + REST + r"\s+(?=\p{N})|\s+(?!\S)|\s+"


def byte_of() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, reversed."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in kept]
    return {chr(b): b for b in kept} | {chr(256 + i): b for i, b in enumerate(rest)}


def pattern_of(description: dict[str, Any]) -> str | None:
    """The splitting pattern of a ``tokenizer.json``, or None if it is not one of this project's own kinds."""
    plain = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    model = description["model"]
    if description.get("normalizer") or model.get("type") != "BPE" or model.get("ignore_merges"):
        return None
    before = description.get("pre_tokenizer") or {}
    parts = before.get("pretokenizers", [before])
    parts = [{key: value for key, value in part.items() if key != "trim_offsets"} for part in parts]
    return {1: PATTERN, 2: PATTERN_DIGITS}.get(len(parts)) if parts in ([plain], [digits, plain]) else None


def fast_encoder(tokenizer: Tokenizer) -> Any | None:
    """The tokenizer as a tiktoken encoding, or None where that cannot be."""
    try:
        import tiktoken
    except ImportError:
        return None
    description = json.loads(tokenizer.to_str())
    pattern = pattern_of(description)
    if pattern is None:
        return None
    special = {token["content"] for token in description["added_tokens"]}
    byte = byte_of()
    pieces = {token: id for token, id in description["model"]["vocab"].items() if token not in special}
    if any(c not in byte for token in pieces for c in token):
        return None
    ranks = {bytes(byte[c] for c in token): id for token, id in pieces.items()}
    if any(bytes([b]) not in ranks for b in range(256)):
        return None
    return tiktoken.Encoding("pocketlm", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


class Encoder:
    """Texts to ids; literal special tokens inside a text are spelled out as text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer

        self.reference: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.reference.encode_special_tokens = True
        self.fast = fast_encoder(tokenizer)
        self.compared = False
        self.threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def slow(self, texts: list[str]) -> list[list[int]]:
        """The ids by ``tokenizers``."""
        return [e.ids for e in self.reference.encode_batch_fast(texts, add_special_tokens=False)]

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text."""
        if self.fast is None or not texts:
            return self.slow(texts)
        ids: list[list[int]] = self.fast.encode_ordinary_batch(texts, num_threads=self.threads)
        if not self.compared:
            self.compared = True
            if self.slow(texts[:SAMPLE]) != ids[:SAMPLE]:
                self.fast = None
                return self.slow(texts)
        rare = [i for i, text in enumerate(texts) if not text.isascii() and ASTRAL.search(text)]
        for index, own in zip(rare, self.slow([texts[i] for i in rare]), strict=True):
            ids[index] = own
        return ids
