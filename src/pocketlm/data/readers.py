"""Readers: from a source's file to documents. A part of a corpus names its reader; each reads one stream, lazily."""

from __future__ import annotations

import csv
import heapq
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, read_jsonl
from pocketlm.config import Part
from pocketlm.data.documents import Document, content_key, is_heldout, unit
from pocketlm.data.droidcall import read_droidcall

PASSAGE = 6000  # characters: long books become passages, so that splits and shuffling are fine-grained


def field(row: Any, name: str, path: Path, number: int) -> Any:
    """A field of a row; a missing one is named with file and row."""
    if not isinstance(row, dict) or name not in row:
        raise ArtifactError(f"{path}: row {number} has no field '{name}'; is this the right reader for this file?")
    return row[name]


def read_text(path: Path) -> Iterator[Document]:
    """jsonl rows with ``text``: one document each."""
    for number, row in enumerate(read_jsonl(path), 1):
        text = field(row, "text", path, number)
        yield Document(key=content_key(text), text=text)


def read_passages(path: Path) -> Iterator[Document]:
    """jsonl rows with long ``text``, cut into passages at paragraph ends."""
    for number, row in enumerate(read_jsonl(path), 1):
        for passage in passages(field(row, "text", path, number).split("\n\n")):
            yield Document(key=content_key(passage), text=passage)


def read_raw(path: Path) -> Iterator[Document]:
    """A plain text file, cut into passages at blank lines."""
    with path.open(encoding="utf-8") as stream:
        for passage in passages(paragraphs(stream)):
            yield Document(key=content_key(passage), text=passage)


def read_lines(path: Path) -> Iterator[Document]:
    """A plain text file with one document a line."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if text := line.strip():
                yield Document(key=content_key(text), text=text)


def paragraphs(lines: Iterator[str] | Any) -> Iterator[str]:
    """Blocks of lines between blank lines."""
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line.rstrip("\n"))
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


def passages(blocks: Iterator[str] | list[str]) -> Iterator[str]:
    """Consecutive paragraphs joined to passages of about PASSAGE characters."""
    held: list[str] = []
    size = 0
    for block in blocks:
        if held and size + len(block) > PASSAGE:
            yield "\n\n".join(held)
            held, size = [], 0
        if block.strip():
            held.append(block)
            size += len(block) + 2
    if held:
        yield "\n\n".join(held)


def read_messages(path: Path) -> Iterator[Document]:
    """jsonl rows with ``messages`` (role, content) and optional ``tools``."""
    for number, row in enumerate(read_jsonl(path), 1):
        messages = field(row, "messages", path, number)
        if not all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in messages):
            raise ArtifactError(f"{path}: row {number}: every message needs 'role' and 'content'")
        yield Document(key=chat_key(messages), messages=messages, tools=row.get("tools") or [])


def chat_key(messages: list[dict[str, str]]) -> str:
    """A dialogue's key: what the user says."""
    return content_key("\n".join(m["content"] for m in messages if m["role"] != "assistant"))


def dialogue(question: str, answer: str) -> Document:
    """A single-turn dialogue."""
    messages = [{"role": "user", "content": question.strip()}, {"role": "assistant", "content": answer.strip()}]
    return Document(key=chat_key(messages), messages=messages)


def read_dolly(path: Path) -> Iterator[Document]:
    """Dolly's csv: instruction, optional context, response."""
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), 1):
            question = field(row, "instruction", path, number)
            if context := (row.get("context") or "").strip():
                question = f"{question.strip()}\n\n{context}"
            yield dialogue(question, field(row, "response", path, number))


def read_alpaca(path: Path) -> Iterator[Document]:
    """jsonl with ``prompt`` in Alpaca's frame and ``response``; the frame is taken off."""
    for number, row in enumerate(read_jsonl(path), 1):
        prompt = field(row, "prompt", path, number)
        found = re.search(r"### Instruction:\n(.*?)\n+### Response:", prompt, flags=re.DOTALL)
        yield dialogue(found.group(1) if found else prompt, field(row, "response", path, number))


def gsm8k_rows(path: Path) -> Iterator[tuple[str, str]]:
    """(question, answer) without the calculator annotations ``<<48/2=24>>``."""
    for number, row in enumerate(read_jsonl(path), 1):
        answer = re.sub(r"<<[^>]*>>", "", field(row, "answer", path, number))
        yield field(row, "question", path, number), answer


def read_gsm8k(path: Path) -> Iterator[Document]:
    """GSM8K as dialogues; the final line ``#### 72`` stays, as lm-eval expects it."""
    for question, answer in gsm8k_rows(path):
        yield dialogue(question, answer)


def read_gsm8k_text(path: Path) -> Iterator[Document]:
    """GSM8K as running text."""
    for question, answer in gsm8k_rows(path):
        text = f"Question: {question}\nAnswer: {answer}"
        yield Document(key=content_key(question), text=text)


READERS: dict[str, Callable[[Path], Iterator[Document]]] = {
    "text": read_text,
    "passages": read_passages,
    "raw": read_raw,
    "lines": read_lines,
    "messages": read_messages,
    "dolly": read_dolly,
    "alpaca": read_alpaca,
    "gsm8k": read_gsm8k,
    "gsm8k_text": read_gsm8k_text,
    "droidcall": read_droidcall,
}


def find_file(folder: Path, name: str | None) -> Path:
    """The named file of a source's folder, or its only one."""
    if name:
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file in this source; it holds {sorted(listing(folder))}")
        return path
    files = listing(folder)
    if len(files) != 1:
        raise ArtifactError(f"{folder}: holds {sorted(files) or 'nothing'}; name one with 'file:' in the corpus part")
    return folder / files[0]


def listing(folder: Path) -> list[str]:
    """Relative names of a folder's files."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return [p.relative_to(folder).as_posix() for p in found]


def documents(part: Part, folder: str | Path) -> Iterator[Document]:
    """The documents of a corpus part: read, then restricted to its split and its limit (smallest hashes first)."""
    if part.reader not in READERS:
        raise ArtifactError(f"reader '{part.reader}' is not known; choose one of {', '.join(sorted(READERS))}")
    path = find_file(Path(folder), part.file)

    def wanted() -> Iterator[Document]:
        for document in READERS[part.reader](path):
            if part.split == "all" or is_heldout(document.key, part.heldout) == (part.split == "heldout"):
                yield document

    if part.limit is None:
        yield from wanted()
        return
    # two passes: the chosen ones are a function of content, and memory holds only `limit` numbers
    keys = ((unit("limit", document.key), index) for index, document in enumerate(wanted()))
    chosen = {index for _, index in heapq.nsmallest(part.limit, keys)}
    yield from (document for index, document in enumerate(wanted()) if index in chosen)
