"""Held-out multiple-choice items: ``{query, choices, gold}``, four choices, every answer position equally often.

Items come in groups of four that share their choices, and each choice is right once: whoever chooses by the choices
alone gets exactly one item in four.
"""

from __future__ import annotations

from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import Facts
from pocketlm.data.world.scenes import FRAMES, LENGTH, Question, addition, fact, in_order, lookup, make_scene
from pocketlm.data.world.stories import OPENINGS

# order: any story is told again; owner, place: half of the questions in the story's order, half out of order;
# fact: what is true in every story; sum: sums of two numbers
TASKS = ("order", "owner", "place", "fact", "sum")


def group(dice: Dice, facts: Facts, task: str) -> list[Question]:
    """Four held-out questions of a task that share their choices."""
    if task == "fact":
        return fact(dice, facts, True)
    if task == "sum":
        return addition(dice, True)
    scene = make_scene(dice, facts, dice.pick(list(FRAMES)) if task == "order" else task, True)
    if task == "order" or dice.chance(0.5):
        part = dice.below(2)
        return [in_order(scene, i, part) for i in range(LENGTH)]
    return [lookup(scene, i) for i in range(LENGTH)]


def item(dice: Dice, asked: Question, gold: int) -> dict[str, Any]:
    """One item with the answer at position ``gold``."""
    choices = dice.shuffled([c for c in asked.choices if c != asked.answer])
    choices.insert(gold, asked.answer)
    return {"query": f"{dice.pick(OPENINGS)} {asked.prompt}", "choices": choices, "gold": gold}


def make_task(dice: Dice, facts: Facts, task: str, count: int) -> list[dict[str, Any]]:
    """``count`` items of one task; no two share both prompt and choices."""
    items: list[dict[str, Any]] = []
    seen: set[tuple[str, ...]] = set()
    positions = dice.shuffled([i % LENGTH for i in range(count + LENGTH)])
    while len(items) < count:
        asked = group(dice, facts, task)
        keys = {(q.prompt, *sorted(q.choices)) for q in asked}
        if not keys & seen:
            seen |= keys
            items += [item(dice, q, positions[len(items) + i]) for i, q in enumerate(asked)]
    return items[:count]
