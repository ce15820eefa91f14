"""Write the embedded world: text, dialogues, calls and held-out tests, the same bytes on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, write_json, write_jsonl
from pocketlm.config import World
from pocketlm.data.world import calls, dialogues, stories, tasks
from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import Facts, make_facts

CALL_REPLAY = 0.15  # share of ordinary dialogues in the call corpus
CALL_NOTES = 0.35  # share of notes in the rest of the call corpus


def command(dice: Dice, facts: Facts) -> dict[str, Any]:
    """A dialogue of the call corpus: a call, or one that keeps what was learned before."""
    if dice.chance(CALL_REPLAY):
        return dialogues.dialogue(dice, facts)
    return dialogues.noted(dice, facts) if dice.chance(CALL_NOTES) else calls.call_dialogue(dice, facts)


def build(world: World, folder: Path) -> dict[str, Any]:
    """Write the files of a world into ``folder`` and return ``{file name: number of rows}``.

    Raises ArtifactError for sizes that the world does not have, or if a held-out text occurs in training.
    """
    facts = make_facts(world)
    counts: dict[str, Any] = {}
    dice = Dice(world.seed, "pretrain")
    texts = [stories.story(dice, facts, dice.pick(stories.KINDS)) for _ in range(world.stories)]
    counts["pretrain.jsonl"] = write_jsonl(folder / "pretrain.jsonl", [{"text": t} for t in texts])
    dice = Dice(world.seed, "instruct")
    talks = [dialogues.dialogue(dice, facts) for _ in range(world.dialogues)]
    counts["instruct.jsonl"] = write_jsonl(folder / "instruct.jsonl", talks)
    dice = Dice(world.seed, "call")
    commands = [command(dice, facts) for _ in range(world.calls)]
    counts["call.jsonl"] = write_jsonl(folder / "call.jsonl", commands)
    for kind in tasks.TASKS:
        items = tasks.make_task(Dice(world.seed, f"task/{kind}"), facts, kind, world.items)
        counts[f"task_{kind}.jsonl"] = write_jsonl(folder / f"task_{kind}.jsonl", items)
    trained = {line for row in commands for line in row["messages"][-1]["content"].splitlines()}
    tests = calls.call_tests(Dice(world.seed, "call_test"), facts, world.items, trained)
    counts["call_test.jsonl"] = write_jsonl(folder / "call_test.jsonl", tests)
    write_json(folder / "functions.json", calls.schema())
    counts["functions.json"] = len(calls.FUNCTIONS)
    asked = {row["messages"][0]["content"] for row in commands}
    if any(row["messages"][0]["content"] in asked for row in tests):
        raise ArtifactError("world: a held-out request occurs in call.jsonl; this is a fault of data/world/calls.py")
    return counts
