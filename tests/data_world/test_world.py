"""The embedded world: same bytes everywhere, held-out combinations, tests that only reading the context can pass."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from pocketlm.artifacts import ArtifactError, digest, members
from pocketlm.config import World
from pocketlm.data.world import build
from pocketlm.data.world.tasks import TASKS

WORLD = World(stories=3000, dialogues=800, calls=1200)
PINNED = "93213bcd49d33df8c56e24dd847172d5d81b9af08acf75446fcd5680e3a0e195"
STATEMENT = re.compile(
    r"(?:The )?(?P<s>\w+) (?P<verb>has|saw|comes|costs) (?:the |on )?(?!the\b|on\b)(?P<v>\w+)"
    r"|(?P<a>\w+) and (?P<b>\w+) make"
    r"|The (?P<a1>\w+) of (?P<s1>\w+) is|Which (?P<a2>\w+) has (?P<s2>\w+)\?|About the (?P<a3>\w+) of (?P<s3>\w+):"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    build(WORLD, path)
    return path


def rows(folder: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def combinations(text: str) -> set[tuple[str, ...]]:
    """What a text shows, read back by pattern: statements, sums, facts by phrasing."""
    found = set()
    for match in STATEMENT.finditer(text):
        groups = {name: value for name, value in match.groupdict().items() if value}
        found.add(tuple(f"{name}={value}" for name, value in sorted(groups.items())))
    return found


def training_text(folder: Path) -> list[str]:
    texts = [row["text"] for row in rows(folder, "pretrain.jsonl")]
    for name in ("instruct.jsonl", "call.jsonl"):
        texts += [m["content"] for row in rows(folder, name) for m in row["messages"]]
    return texts


def test_bytes_are_pinned(folder: Path) -> None:
    """One number for every machine and Python version: a change of it changes every demo result."""
    assert digest(members(folder)) == PINNED


def test_seed_changes_the_world(folder: Path, tmp_path: Path) -> None:
    build(World(seed=1, stories=50, dialogues=50, calls=50, items=20), tmp_path)
    assert rows(tmp_path, "pretrain.jsonl") != rows(folder, "pretrain.jsonl")[:50]


@pytest.mark.parametrize("task", TASKS)
def test_no_combination_of_a_test_occurs_in_training(folder: Path, task: str) -> None:
    trained: set[tuple[str, ...]] = set()
    for text in training_text(folder):
        trained |= combinations(text)
    tested = {c for row in rows(folder, f"task_{task}.jsonl") for c in combinations(row["query"])}
    assert len(trained) > 500 and len(tested) >= 16
    assert not tested & trained


@pytest.mark.parametrize("task", TASKS)
def test_items_are_well_formed(folder: Path, task: str) -> None:
    items = rows(folder, f"task_{task}.jsonl")
    assert len(items) == WORLD.items
    for item in items:
        assert len(set(item["choices"])) == 4 and 0 <= item["gold"] < 4
        if task in ("order", "owner", "place"):  # every distractor occurs in the context
            words = set(re.findall(r"\w+", item["query"]))
            assert words.issuperset(item["choices"])
    assert set(Counter(item["gold"] for item in items).values()) <= set(range(70, 81))


def accuracy(items: list[Any], choose: Any) -> float:
    return 100 * sum(choose(item) == item["gold"] for item in items) / len(items)


@pytest.mark.parametrize("task", TASKS)
def test_context_blind_baseline_is_at_chance(folder: Path, task: str) -> None:
    """Choosing by the choices alone: by frequency in training text, and by who was right in all other items."""
    counts = Counter(word for text in training_text(folder) for word in re.findall(r"\w+", text))
    items = rows(folder, f"task_{task}.jsonl")
    right = Counter(item["choices"][item["gold"]] for item in items)
    shown = Counter(choice for item in items for choice in item["choices"])

    def first(scores: list[float]) -> int:
        return max(range(4), key=lambda i: (scores[i], -i))

    frequent = accuracy(items, lambda item: first([counts[c] for c in item["choices"]]))
    fitted = accuracy(items, lambda item: first([right[c] / shown[c] for c in item["choices"]]))
    assert abs(frequent - 25) <= 3 and abs(fitted - 25) <= 3


@pytest.mark.parametrize("task", TASKS)
def test_bigram_baseline_is_at_chance(folder: Path, task: str) -> None:
    """P(choice | last word of the query) of the training text, with back-off to the word's frequency."""
    pairs: dict[str, Counter[str]] = defaultdict(Counter)
    counts: Counter[str] = Counter()
    for text in training_text(folder):
        words = re.findall(r"\w+|[^\w\s]", text)
        counts.update(words)
        for left, word in zip(words, words[1:], strict=False):
            pairs[left][word] += 1
    total = sum(counts.values())

    def choose(item: dict[str, Any]) -> int:
        last = re.findall(r"\w+|[^\w\s]", item["query"])[-1]
        seen = pairs[last]
        scores = [(seen[c] + counts[c] / total) / (sum(seen.values()) + 1) for c in item["choices"]]
        return scores.index(max(scores))

    assert abs(accuracy(rows(folder, f"task_{task}.jsonl"), choose) - 25) <= 3


def test_held_out_calls(folder: Path) -> None:
    functions = json.loads((folder / "functions.json").read_text(encoding="utf-8"))
    kinds = {"integer": int, "string": str}
    tests, train = rows(folder, "call_test.jsonl"), rows(folder, "call.jsonl")
    code = [row["messages"][1]["content"] for row in train]
    asked = {row["messages"][0]["content"] for row in train}
    assert len(functions) >= 8 and len(tests) >= 300
    assert Counter(row["group"] for row in tests) == {"seen_phrasing": 150, "unseen_phrasing": 150}
    trained_lines = {line for text in code for line in text.splitlines()}
    for row in tests:
        said = row["messages"][0]["content"]
        assert said not in asked
        for call in row["calls"]:
            arguments = functions[call["name"]]["arguments"]
            assert {a["name"] for a in arguments} == set(call["arguments"])
            assert all(isinstance(call["arguments"][a["name"]], kinds[a["type"]]) for a in arguments)
            assert all(str(value) in said for value in call["arguments"].values())
            shown = ", ".join(f"{a['name']}={json.dumps(call['arguments'][a['name']])}" for a in arguments)
            assert f"{call['name']}({shown})" not in trained_lines
    assert any(len(row["calls"]) == 2 for row in tests) and any("\n" in text for text in code)
    assert {call["name"] for row in tests for call in row["calls"]} == set(functions)


@pytest.mark.parametrize(("key", "value"), [("people", 60), ("objects", 18), ("places", 8)])
def test_impossible_sizes_are_refused(tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(ArtifactError, match=f"world.{key}: {value}; choose a multiple"):
        build(World(**{key: value}), tmp_path)
