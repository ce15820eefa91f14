"""Items of a task from local files: read, checked field by field, converted to the official schema, chosen by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, read_jsonl
from pocketlm.data.droidcall import call_items
from pocketlm.data.readers import find_file

Doc = dict[str, Any]
ANSWERS = {"gold": int, "label": int}
TEXTS = dict.fromkeys(("query", "ctx", "activity_label", "continuation", "goal", "sol1", "sol2"), str)
OPTIONS = dict.fromkeys(("choices", "endings", "context_options"), list)
CHECKED: dict[str, type] = {**ANSWERS, **TEXTS, **OPTIONS, "messages": list, "calls": list}


def rows(path: Path, fields: Iterable[str], count: int | None = None) -> Iterator[Doc]:
    """The rows of a jsonl task file; the task has ``count`` options where it is fixed.

    Raises ArtifactError naming file, line and field of a missing or wrong one.
    """
    fields = tuple(fields)
    for number, row in enumerate(read_jsonl(path), 1):
        for name in fields:
            if not isinstance(row, dict) or name not in row:
                raise ArtifactError(f"{path}: line {number}: the field '{name}' is missing; a task item needs it")
            if problem := wrong(name, row[name], count):
                raise ArtifactError(f"{path}: line {number}: the field '{name}' {problem}")
        options = next((len(row[name]) for name in fields if name in OPTIONS), count)
        for name in set(fields) & ANSWERS.keys() if options is not None else ():
            if not 0 <= row[name] < options:
                raise ArtifactError(f"{path}: line {number}: the field '{name}' is {row[name]} of {options} choices")
        yield row


def wrong(name: str, value: Any, count: int | None) -> str | None:
    """What is wrong with the value of a field."""
    kind = CHECKED.get(name)
    if kind is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        return f"must be {kind.__name__}, not {value!r}"
    if name in OPTIONS:
        if not all(isinstance(option, str) for option in value):
            return f"must hold texts only, not {value!r}"
        if count is not None and len(value) != count:
            return f"must hold {count} texts, not {len(value)}"
    if name == "messages" and not is_dialogue(value):
        return "must hold messages with 'role' and 'content'"
    return None


def is_dialogue(messages: Any) -> bool:
    """Whether every message has a role and a text."""
    return isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in messages
    )


def multiple_choice(path: Path, **_: Any) -> Iterator[Doc]:
    """{"query", "choices", "gold"} as they are."""
    for row in rows(path, ("query", "choices", "gold")):
        yield {"query": row["query"], "choices": row["choices"], "gold": row["gold"]}


def arc(path: Path, **_: Any) -> Iterator[Doc]:
    """ARC's question, choices and answerKey."""
    for row in rows(path, ("query", "choices", "gold")):
        labels = [chr(ord("A") + i) for i in range(len(row["choices"]))]
        question = row["query"].removeprefix("Question: ")
        choices = {"text": row["choices"], "label": labels}
        yield {"question": question, "choices": choices, "answerKey": labels[row["gold"]]}


def openbookqa(path: Path, **_: Any) -> Iterator[Doc]:
    """OpenBookQA's question_stem, choices and answerKey."""
    for doc in arc(path):
        yield {"question_stem": doc["question"], "choices": doc["choices"], "answerKey": doc["answerKey"]}


def boolq(path: Path, **_: Any) -> Iterator[Doc]:
    """BoolQ's passage, question (without its question mark) and label."""
    for row in rows(path, ("query", "gold"), 2):
        passage, _, question = row["query"].removeprefix("Passage: ").partition("\nQuestion: ")
        yield {"passage": passage, "question": question.removesuffix("?"), "label": row["gold"]}


def winogrande(path: Path, **_: Any) -> Iterator[Doc]:
    """WinoGrande's sentence with a blank, both options, and the answer."""
    for row in rows(path, ("context_options", "continuation", "gold"), 2):
        first, second = row["context_options"]
        words = 0
        while words < min(len(first), len(second)) and first[words] == second[words]:
            words += 1
        start = first.rfind(" ", 0, words) + 1
        yield {
            "sentence": f"{first[:start]}_ {row['continuation']}", "option1": first[start:], "option2": second[start:],
            "answer": str(row["gold"] + 1),
        }  # fmt: skip


def hellaswag(path: Path, **_: Any) -> Iterator[Doc]:
    """HellaSwag's two contexts from a joined one: an unfinished last sentence is the second (ActivityNet items)."""
    for row in rows(path, ("activity_label", "ctx", "endings", "label")):
        first, dot, second = row["ctx"].rpartition(". ")
        if row["ctx"].endswith((".", "!", "?", '"')) or not dot:
            first, dot, second = row["ctx"], "", ""
        yield {
            "activity_label": row["activity_label"], "ctx_a": (first + dot).rstrip(), "ctx_b": second,
            "endings": row["endings"], "label": str(row["label"]),
        }  # fmt: skip


def piqa(path: Path, labels: Path | None = None, **_: Any) -> Iterator[Doc]:
    """PIQA's goal and solutions, with the labels of the second file."""
    if labels is None:
        raise ArtifactError(f"{path}: PIQA keeps its labels in a second file: set the task's labels to its source")
    gold = labels.read_text(encoding="utf-8").split()
    items = list(rows(path, ("goal", "sol1", "sol2")))
    if len(items) != len(gold):
        raise ArtifactError(f"{labels}: {len(gold)} labels for the {len(items)} items of {path}")
    odd = next(((number, label) for number, label in enumerate(gold, 1) if label not in ("0", "1")), None)
    if odd:
        raise ArtifactError(f"{labels}: line {odd[0]}: {odd[1]!r} is no label; it must be 0 or 1")
    for row, label in zip(items, gold, strict=True):
        yield {"goal": row["goal"], "sol1": row["sol1"], "sol2": row["sol2"], "label": int(label)}


def wikitext(path: Path, **_: Any) -> Iterator[Doc]:
    """One page an article of a raw WikiText file: ``= Title =`` begins one."""
    page: list[str] = []
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            title = line.startswith(" = ") and line.rstrip().endswith(" =") and not line.startswith(" = =")
            if title and page:
                yield {"page": "".join(page)}
                page = []
            page.append(line)
    if page:
        yield {"page": "".join(page)}


def calls(path: Path, **_: Any) -> Iterator[Doc]:
    """{"messages", "tools", "calls", "group"}: a dialogue's question and its gold calls."""
    for row in rows(path, ("messages", "calls")):
        yield {
            key: row.get(key, default) for key, default in (("messages", 0), ("tools", []), ("calls", 0), ("group", ""))
        }


def droidcall(path: Path, heldout: float = 0.0, **_: Any) -> Iterator[Doc]:
    """DroidCall's held-out rows, the split that the corpus leaves out."""
    list(rows(path, ("query", "intent", "extras")))
    yield from call_items(path, heldout)


def identity(doc: Doc) -> str:
    """A stable short name of an item: the hash of its content."""
    return hashlib.sha256(json.dumps(doc, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def chosen(docs: Iterable[Doc], limit: int | None) -> list[Doc]:
    """At most ``limit`` items, the smallest hashes, in file order; an item that occurs twice counts once."""
    unique = {identity(doc): doc for doc in docs}
    keep = set(sorted(unique)[:limit])
    return [doc for name, doc in unique.items() if name in keep]


def locate(folder: Path, file: str) -> Path:
    """The named file of a source folder, or its only one."""
    return find_file(folder, file or None)
