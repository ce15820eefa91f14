"""A document of a corpus, and the hash that assigns it to a split.

A document's *key* is stable: it comes from the content, never from the position alone, so that a split does not move
when a file grows. All choices (held-out, validation, limits) are functions of key and purpose.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Document:
    """Running text, or a dialogue with the tools that its system turn shows (signatures or names)."""

    key: str
    text: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)  # the gold calls where the source has them

    @property
    def is_chat(self) -> bool:
        return bool(self.messages)


def unit(purpose: str, key: str) -> float:
    """A number in [0, 1) that depends on purpose and key only: the same on every machine."""
    value = hashlib.sha256(f"{purpose}\0{key}".encode()).digest()[:8]
    return int.from_bytes(value, "big") / 2**64


def is_validation(key: str, share: float) -> bool:
    """Whether a document is held out for the validation loss."""
    return unit("validation", key) < share


def is_heldout(key: str, share: float) -> bool:
    """Whether a document belongs to the held-out test split of its part."""
    return unit("heldout", key) < share


def content_key(text: str) -> str:
    """The key of a document without an identity of its own."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
