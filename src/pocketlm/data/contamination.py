"""Contamination: which evaluation items share a 13-gram of words with the training text (GPT-3's rule).

Words are lower-case runs of letters and digits. An item is its prompt with the right answer where it has one; items of
fewer than 13 words cannot be judged and are counted as such. Memory holds the items' n-grams, never the training text.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlm.artifacts import ArtifactError, read_jsonl

N = 13
EXAMPLES = 10
SIEVE = 24  # bits
WORD = re.compile(r"[^\W_]+")
SPACED = bytes(b if b > 127 or chr(b).isalnum() else 32 for b in range(256))
PROMPTS = ("passage", "context", "ctx", "query", "question", "goal", "sol1", "sol2", "sentence", "text")
Hashes = NDArray[np.uint64]
Found = dict[str, dict[str, Any]]


def item_text(row: Any) -> str:
    """The words of an evaluation item: prompt, then the right answer."""
    if isinstance(row, str):
        return row
    parts = [str(row[key]) for key in PROMPTS if isinstance(row.get(key), str)]
    parts += [m["content"] for m in row.get("messages", []) if m.get("role") != "assistant"]
    gold = row.get("gold", row.get("label"))
    options = row.get("choices") or row.get("endings") or row.get("context_options")
    if isinstance(options, list) and isinstance(gold, int) and 0 <= gold < len(options):
        parts.append(str(options[gold]))
    if isinstance(row.get("continuation"), str):
        parts.append(row["continuation"])
    return " ".join(parts)


def checked(row: Any, where: str) -> Any:
    """The row, after it was found to be a text or a task item."""
    if not isinstance(row, (str, dict)):
        raise ArtifactError(f"{where}: an item is an object with fields or a text, not {row!r}")
    messages = row.get("messages", []) if isinstance(row, dict) else []
    if not isinstance(messages, list) or not all(
        isinstance(m, dict) and isinstance(m.get("content"), str) for m in messages
    ):
        raise ArtifactError(f"{where}: the field 'messages' must hold messages with 'role' and 'content'")
    return row


def read_items(path: Path) -> list[str]:
    """The items of a task file: jsonl rows, or the lines of a plain text file. Raises ArtifactError naming the line."""
    if path.suffix in (".jsonl", ".json"):
        return [item_text(checked(row, f"{path}: line {number}")) for number, row in enumerate(read_jsonl(path), 1)]
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def words(text: str) -> list[bytes]:
    """``WORD.findall`` of the lower-case text, as UTF-8: cut at ASCII by table, and by the pattern only elsewhere."""
    found = text.lower().encode("utf-8", "surrogatepass").translate(SPACED).split()
    if text.isascii():
        return found
    out: list[bytes] = []
    for word in found:
        if word.isascii():
            out.append(word)
        else:
            decoded = word.decode("utf-8", "surrogatepass")
            out += [own.encode("utf-8", "surrogatepass") for own in WORD.findall(decoded)]
    return out


def word_value(word: bytes) -> int:
    """A 64-bit number for a word, the same everywhere; never 0."""
    return int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "big") | 1


def grams(values: Hashes) -> Hashes:
    """Hashes of all runs of N words: a polynomial in the words' numbers, modulo 2^64."""
    count = len(values) - N + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64)
    out = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(N):
            out = out * np.uint64(0x100000001B3) + values[offset : offset + count]
    return out


class Contamination:
    """The n-grams of all tasks; ``look`` takes training texts, ``report`` says what overlapped."""

    def __init__(self, tasks: dict[str, list[str]]) -> None:
        """``tasks``: the items' texts by task."""
        self.words: dict[bytes, int] = {}  # number of every word that an item has
        self.table: Hashes = np.zeros(1, dtype=np.uint64)  # its 64-bit value; place 0: any other word
        self.sizes: dict[str, int] = {}
        hashes: list[Hashes] = []
        owners: list[NDArray[np.int64]] = []
        self.items: list[tuple[str, int]] = []
        self.short: dict[str, int] = {}
        for task, texts in sorted(tasks.items()):
            self._learn(texts)
            self.sizes[task], self.short[task] = len(texts), 0
            for number, text in enumerate(texts):
                own = np.unique(grams(self._values(text)))
                self.short[task] += not len(own)
                hashes.append(own)
                owners.append(np.full(len(own), len(self.items)))
                self.items.append((task, number))
        every = np.concatenate([np.zeros(0, dtype=np.uint64), *hashes])
        order = np.argsort(every, kind="stable")
        self.hashes = every[order]
        self.owners = np.concatenate([np.zeros(0, dtype=np.int64), *owners])[order]
        self.hit = np.zeros(len(self.items), dtype=bool)
        # most n-grams of a training text are no item's: one look into this table rules them out
        self.sieve = np.zeros(1 << SIEVE, dtype=bool)
        self.sieve[self.hashes >> np.uint64(64 - SIEVE)] = True

    def _learn(self, texts: list[str]) -> None:
        """Number the words of these texts."""
        new = sorted({word for text in texts for word in words(text)} - self.words.keys())
        self.words |= {word: number for number, word in enumerate(new, len(self.table))}
        values = np.array([word_value(word) for word in new], dtype=np.uint64)
        self.table = np.concatenate([self.table, values])

    def _values(self, text: str) -> Hashes:
        found = words(text)
        numbers = np.fromiter(map(self.words.get, found, itertools.repeat(0)), np.int64, len(found))
        return np.asarray(self.table[numbers])

    def look(self, text: str) -> None:
        """Mark the items that share an n-gram with this training text."""
        if not len(self.hashes):
            return
        values = self._values(text)  # a word that no item has is 0 and breaks every run through it
        found = grams(values)
        if not len(found):
            return
        unknown = np.concatenate([[0], np.cumsum(values == 0)])
        found = found[unknown[N:] == unknown[:-N]]
        found = np.unique(found[self.sieve[found >> np.uint64(64 - SIEVE)]])
        first = np.searchsorted(self.hashes, found, side="left")
        last = np.searchsorted(self.hashes, found, side="right")
        for start, stop in zip(first[first < last], last[first < last], strict=True):
            self.hit[self.owners[start:stop]] = True

    def found(self) -> Found:
        """{task: items, too_short, hits (numbers of the items that overlapped)}."""
        hits: dict[str, list[int]] = {task: [] for task in sorted(self.sizes)}
        for (task, number), hit in zip(self.items, self.hit, strict=True):
            if hit:
                hits[task].append(number)
        return {t: {"items": self.sizes[t], "too_short": self.short[t], "hits": own} for t, own in hits.items()}

    def report(self) -> dict[str, Any]:
        """What overlapped, as a table."""
        return report(self.found())


def united(shards: Sequence[Found]) -> Found:
    """What the shards of a corpus found, together."""
    return {
        task: own | {"hits": sorted({number for shard in shards for number in shard[task]["hits"]})}
        for task, own in shards[0].items()
    }


def report(found: Found) -> dict[str, Any]:
    """{task: items, too_short, overlapping, share, examples (item numbers)}."""
    return {
        task: {
            "items": own["items"],
            "too_short": own["too_short"],
            "overlapping": len(own["hits"]),
            "share": round(len(own["hits"]) / max(own["items"], 1), 6),
            "examples": own["hits"][:EXAMPLES],
        }
        for task, own in sorted(found.items())
    }
