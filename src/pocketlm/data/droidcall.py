"""DroidCall's machine-generated set (query, intent, extras) as dialogues with calls.

Short code format: ``ACTION_SET_ALARM(EXTRA_HOUR=22, EXTRA_MESSAGE="Prepare for Work")``; the system turn shows two
tools as short signatures, the gold one and a distractor, both chosen and ordered by a hash of the query. Values that
the set writes as "None" are no arguments; dotted names are cut to their last word.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, read_jsonl
from pocketlm.data.documents import Document, content_key, is_heldout, unit

COMMON = 0.05  # an argument belongs to a signature if so many of the intent's rows use it
EMPTY: tuple[Any, ...] = (None, "None", "", [], {})


def arguments_of(row: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a row: short names, without empty values."""
    extras = row.get("extras") or {}
    return {name.rsplit(".", 1)[-1]: value for name, value in extras.items() if value not in EMPTY}


def literal(value: Any) -> str:
    """A value in the code format: Python's literals, strings in double quotes."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def format_call(name: str, arguments: dict[str, Any]) -> str:
    """``name(key=value, ...)``."""
    return f"{name}({', '.join(f'{key}={literal(value)}' for key, value in arguments.items())})"


def signatures(rows: list[dict[str, Any]]) -> dict[str, str]:
    """{intent: ``INTENT(ARG, ...)``} with the arguments that the intent commonly takes, in order of first use."""
    used: dict[str, Counter[str]] = defaultdict(Counter)
    count = Counter(row["intent"] for row in rows)
    for row in rows:
        used[row["intent"]].update(arguments_of(row).keys())
    return {
        intent: f"{intent}({', '.join(n for n, k in used[intent].items() if k >= COMMON * count[intent])})"
        for intent in sorted(count)
    }


def shown_tools(query: str, intent: str, known: dict[str, str]) -> list[str]:
    """The gold tool's signature and one distractor's, in an order that says nothing."""
    others = [name for name in sorted(known) if name != intent]
    distractor = others[int(unit("distractor", query) * len(others))]
    pair = [known[intent], known[distractor]]
    return pair if unit("order", query) < 0.5 else pair[::-1]


def read_droidcall(path: Path) -> Iterator[Document]:
    """The rows as dialogues; a query that occurs again is left out, so that no held-out query is in training."""
    rows = list(read_jsonl(path))
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not {"query", "intent"} <= row.keys():
            raise ArtifactError(f"{path}: row {number} needs the fields 'query' and 'intent'")
    known = signatures(rows)
    seen: set[str] = set()
    for row in rows:
        query = row["query"].strip()
        key = content_key(query.lower())
        if key in seen:
            continue
        seen.add(key)
        arguments = arguments_of(row)
        answer = format_call(row["intent"], arguments)
        messages = [{"role": "user", "content": query}, {"role": "assistant", "content": answer}]
        calls = [{"name": row["intent"], "arguments": arguments}]
        yield Document(key=key, messages=messages, tools=shown_tools(query, row["intent"], known), calls=calls)


def call_items(path: str | Path, heldout: float) -> Iterator[dict[str, Any]]:
    """The held-out rows as test items: ``{"messages": [user], "tools", "calls": [{"name", "arguments"}], "group"}``."""
    for document in read_droidcall(Path(path)):
        if is_heldout(document.key, heldout):
            user = [m for m in document.messages if m["role"] == "user"]
            yield {"messages": user, "tools": document.tools, "calls": document.calls, "group": "heldout"}
