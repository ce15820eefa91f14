"""Readers on small files written by hand; splits by hash; contamination on a hand-made overlap."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Part
from pocketlm.data import droidcall, readers
from pocketlm.data.contamination import Contamination, item_text, read_items
from pocketlm.data.documents import Document


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(reader: str, folder: Path, **more: object) -> list[Document]:
    return list(readers.documents(Part(reader=reader, **more), folder))  # type: ignore[arg-type]


def test_dolly(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(
        'instruction,context,response,category\nWho?,"Some, ""context""\nhere",Ada.,qa\nWhy?,,Because.,qa\n'
    )
    one, two = read("dolly", tmp_path)
    assert one.messages[0] == {"role": "user", "content": 'Who?\n\nSome, "context"\nhere'}
    assert [m["content"] for m in two.messages] == ["Why?", "Because."]


def test_alpaca_and_gsm8k(tmp_path: Path) -> None:
    prompt = "Below is an instruction.\n\n### Instruction:\nwhat is X?\n\n### Response:\n"
    jsonl(tmp_path / "a.jsonl", [{"prompt": prompt, "response": "It is."}])
    assert read("alpaca", tmp_path)[0].messages[0]["content"] == "what is X?"
    row = {"question": "How many?", "answer": "48/2 = <<48/2=24>>24 clips.\n#### 24"}
    jsonl(tmp_path / "g.jsonl", [row])
    assert read("gsm8k", tmp_path, file="g.jsonl")[0].messages[1]["content"] == "48/2 = 24 clips.\n#### 24"
    text = read("gsm8k_text", tmp_path, file="g.jsonl")[0].text
    assert text == "Question: How many?\nAnswer: 48/2 = 24 clips.\n#### 24"


def test_passages_lose_nothing(tmp_path: Path) -> None:
    blocks = [f"Paragraph {n}: " + "word " * (n * 13 % 400) for n in range(60)]
    (tmp_path / "raw.txt").write_text("\n\n".join(blocks))
    jsonl(tmp_path / "long.jsonl", [{"text": "\n\n".join(blocks)}])
    for reader, file in (("raw", "raw.txt"), ("passages", "long.jsonl")):
        found = read(reader, tmp_path, file=file)
        assert len(found) > 5 and max(len(d.text) for d in found) < 8100
        assert [b.strip() for d in found for b in d.text.split("\n\n")] == [b.strip() for b in blocks]


def test_splits_and_limits(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(f"document {n}" for n in range(1000)))
    train = {d.key for d in read("lines", tmp_path, split="train", heldout=0.2)}
    held = {d.key for d in read("lines", tmp_path, split="heldout", heldout=0.2)}
    assert len(train) + len(held) == 1000 and not train & held and 150 < len(held) < 250
    some = [d.key for d in read("lines", tmp_path, limit=50)]
    assert len(some) == 50
    (tmp_path / "lines.txt").write_text("\n".join(f"document {n}" for n in reversed(range(1000))))
    assert {d.key for d in read("lines", tmp_path, limit=50)} == set(some)  # by content, not by place
    assert {d.key for d in read("lines", tmp_path, split="heldout", heldout=0.2)} == held


def test_bad_files_are_named(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"text": "fine"}, {"body": "not"}])
    with pytest.raises(ArtifactError, match=r"a\.jsonl: row 2 has no field 'text'"):
        read("text", tmp_path)
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{broken\n')
    with pytest.raises(ArtifactError, match="line 2 is not JSON"):
        read("text", tmp_path)
    with pytest.raises(ArtifactError, match=r"no such file in this source; it holds \['a.jsonl'\]"):
        read("text", tmp_path, file="b.jsonl")
    (tmp_path / "b.jsonl").write_text("")
    with pytest.raises(ArtifactError, match="name one with 'file:'"):
        read("text", tmp_path)
    with pytest.raises(ArtifactError, match="reader 'nothing' is not known"):
        read("nothing", tmp_path)


ROWS: list[dict[str, object]] = [
    {
        "query": f"Alarm at {n}",
        "intent": "ACTION_SET_ALARM",
        "extras": {"EXTRA_HOUR": n, "EXTRA_DAYS": [1, 2], "EXTRA_VIBRATE": True, "EXTRA_RINGTONE": "None"},
    }
    for n in range(40)
] + [
    {"query": "Mail it", "intent": "ACTION_SEND", "extras": {"Intent.EXTRA_TEXT": 'say "hi"', "rare": None}},
    {"query": "mail it ", "intent": "ACTION_SEND", "extras": {}},
    {"query": "Wifi", "intent": "ACTION_WIFI_SETTINGS", "extras": {}},
]


def test_droidcall(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "m.jsonl", ROWS)
    found = list(droidcall.read_droidcall(path))
    assert len(found) == len(ROWS) - 1  # the repeated query
    answers = {d.messages[0]["content"]: d.messages[1]["content"] for d in found}
    assert answers["Alarm at 7"] == "ACTION_SET_ALARM(EXTRA_HOUR=7, EXTRA_DAYS=[1, 2], EXTRA_VIBRATE=True)"
    assert answers["Mail it"] == 'ACTION_SEND(EXTRA_TEXT="say \\"hi\\"")'
    assert answers["Wifi"] == "ACTION_WIFI_SETTINGS()"
    assert all(len(set(d.tools)) == 2 for d in found)
    for d in found:
        assert sum(tool.startswith(d.calls[0]["name"] + "(") for tool in d.tools) == 1
    first = [d.tools[0].startswith(d.calls[0]["name"]) for d in found]
    assert 0.25 < np.mean(first) < 0.75  # the order says nothing
    items = list(droidcall.call_items(path, 0.3))
    train = read("droidcall", tmp_path, split="train", heldout=0.3)
    asked = {d.messages[0]["content"] for d in train}
    assert len(items) + len(train) == len(found) and not asked & {i["messages"][0]["content"] for i in items}
    assert all(m["role"] == "user" for i in items for m in i["messages"])


def test_contamination_by_hand() -> None:
    words = [f"w{n}" for n in range(40)]
    hit, near = " ".join(words[:20]), " ".join([*words[20:32], "other", *words[33:40]])
    check = Contamination({"suite/a": [hit, "too short", near], "suite/b": [hit.upper().replace(" ", ", ")]})
    check.look("before " + " ".join(words[5:18]) + " after")  # exactly 13 words of the first item
    check.look(" ".join(words[20:32]) + " stop")  # 12 words of the third
    check.look(" ".join(words[:12]) + " gap " + " ".join(words[12:16]))
    report = check.report()
    assert report["suite/a"] == {"items": 3, "too_short": 1, "overlapping": 1, "share": 0.333333, "examples": [0]}
    assert report["suite/b"]["overlapping"] == 1
    empty = Contamination({})
    empty.look(hit)
    assert empty.report() == {}


def test_item_texts(tmp_path: Path) -> None:
    assert item_text({"query": "Q", "choices": ["x", "y"], "gold": 1}) == "Q y"
    assert item_text({"ctx": "C", "endings": ["x", "y"], "label": 0}) == "C x"
    assert item_text({"context_options": ["A", "B"], "continuation": "c", "gold": 0}) == "A c"
    assert item_text({"messages": [{"role": "user", "content": "U"}]}) == "U"
    (tmp_path / "w.raw").write_text(" = T = \n\n line two \n")
    assert read_items(tmp_path / "w.raw") == ["= T =", "line two"]


@pytest.mark.parametrize("row", [{"messages": [{"role": "user"}]}, {"messages": "hello"}, {"messages": [1]}, 7])
def test_items_without_text_are_named(tmp_path: Path, row: object) -> None:
    (tmp_path / "x.jsonl").write_text(f'{{"query": "Q"}}\n{json.dumps(row)}\n')
    with pytest.raises(ArtifactError, match=r"x\.jsonl: line 2: .*(messages with 'role' and 'content'|not 7)"):
        read_items(tmp_path / "x.jsonl")
