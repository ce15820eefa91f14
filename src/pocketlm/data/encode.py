"""Encoding at the speed of the fastest library that yields the same ids.

``tokenizers`` is the reference. For this project's own byte-level BPE the same vocabulary runs in fastokens, many times
as fast, if it is installed and has given the same ids on a sample; tests compare the two over the whole basic plane, on
random Unicode and on real text. Outside that plane the two libraries know different versions of Unicode (a digit added
in Unicode 17 is one here and none there), so texts with such characters always take the reference.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # ids do not depend on it
Ids = NDArray[np.uint32]
SAMPLE = 32  # texts on which the fast encoder is compared before it is used
RENEW = 1 << 28  # characters after which the fast encoder is made anew: it remembers every word that it has seen
ASTRAL = re.compile("[\U00010000-\U0010ffff]")
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+|"
# a digit ends the piece before it, so white space in front of a digit stays whole
PATTERN_DIGITS = WORDS + r"\p{N}" + REST + r"\s+(?=\p{N})|\s+(?!\S)|\s+"
PLAIN = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def byte_of() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, reversed."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in kept]
    return {chr(b): b for b in kept} | {chr(256 + i): b for i, b in enumerate(rest)}


def fast_form(description: dict[str, Any]) -> dict[str, Any] | None:
    """A ``tokenizer.json`` that gives the same ids and that fastokens runs fast; None if it is not of our own kinds.

    Splitting at digits and then by GPT-2's pattern is one pattern: fastokens compiles it. Special tokens are taken out,
    since a literal one inside a text is text.
    """
    model = description["model"]
    if description.get("normalizer") or model.get("type") != "BPE" or model.get("ignore_merges"):
        return None
    before = description.get("pre_tokenizer") or {}
    parts = [{k: v for k, v in part.items() if k != "trim_offsets"} for part in before.get("pretokenizers", [before])]
    if parts not in ([PLAIN], [DIGITS, PLAIN]):
        return None
    special = {token["content"] for token in description["added_tokens"]}
    byte = byte_of()
    pieces = model["vocab"].keys() - special
    if not byte.keys() <= pieces or any(c not in byte for piece in pieces for c in piece):
        return None
    if len(parts) == 2:
        split = {"type": "Split", "pattern": {"Regex": PATTERN_DIGITS}, "behavior": "Isolated", "invert": False}
        bytes_only = PLAIN | {"trim_offsets": True, "use_regex": False}
        before = {"type": "Sequence", "pretokenizers": [split, bytes_only]}
    return description | {"pre_tokenizer": before, "added_tokens": [], "post_processor": None}


def fast_encoder(tokenizer: Tokenizer) -> Callable[[], Any] | None:
    """Makes the tokenizer as one of fastokens; None where that cannot be."""
    try:
        import fastokens
    except ImportError:
        return None
    form = fast_form(json.loads(tokenizer.to_str()))
    return None if form is None else lambda: fastokens.Tokenizer.from_json_str(json.dumps(form))


def whole_texts(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without truncation and padding, which a fine-tuning may have left in its file."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Encoder:
    """Texts to ids; literal special tokens inside a text are spelled out as text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer

        self.reference = whole_texts(Tokenizer.from_str(tokenizer.to_str()))
        self.reference.encode_special_tokens = True
        self.make = fast_encoder(self.reference)
        self.fast = None if self.make is None else self.make()
        self.compared, self.seen = False, 0

    def slow(self, texts: list[str]) -> list[Ids]:
        """The ids by ``tokenizers``."""
        found = self.reference.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in found]

    def arrays(self, texts: list[str]) -> list[Ids]:
        """The ids of each text, uint32 [tokens]."""
        if self.fast is None or not texts:
            return self.slow(texts)
        ids = self._quick(texts)
        if not self.compared:
            self.compared = True
            if not all(map(np.array_equal, ids, self.slow(texts[:SAMPLE]))):
                self.fast = None
                return self.slow(texts)
        rare = [i for i, text in enumerate(texts) if not text.isascii() and ASTRAL.search(text)]
        for index, own in zip(rare, self.slow([texts[i] for i in rare]), strict=True):
            ids[index] = own
        return ids

    def _quick(self, texts: list[str]) -> list[Ids]:
        self.seen += sum(map(len, texts))
        if self.seen > RENEW and self.make is not None:
            self.fast, self.seen = self.make(), 0
        flat, places = self.fast.encode_batch_flat(texts)  # type: ignore[union-attr]
        return np.split(np.frombuffer(flat, dtype=np.uint32), np.frombuffer(places, dtype=np.uint64)[1:-1])

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text."""
        return [ids.tolist() for ids in self.arrays(texts)]
