"""Held-out multiple-choice items: ``{query, choices, gold}``, four choices, every answer position equally often."""

from __future__ import annotations

from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import Facts
from pocketlm.data.world.scenes import FRAMES, Question, addition, fact, in_order, lookup, make_scene
from pocketlm.data.world.stories import OPENINGS

TASKS = ("order", "owner", "place", "fact", "sum")
CHOICES = 4


def question(dice: Dice, facts: Facts, task: str) -> tuple[Question, set[tuple[str, ...]]]:
    """A held-out question of a task and its combinations.

    ``order`` tells any story again; ``owner`` and ``place`` ask half in order and half out of order.
    """
    if task == "fact":
        return fact(dice, facts, True)
    if task == "sum":
        return addition(dice, True)
    scene = make_scene(dice, facts, dice.pick(list(FRAMES)) if task == "order" else task, True)
    ordered = task == "order" or dice.chance(0.5)
    return (in_order if ordered else lookup)(dice, scene), scene.combinations


def item(dice: Dice, asked: Question, gold: int) -> dict[str, Any]:
    """One item with the answer at position ``gold``."""
    choices = dice.shuffled([c for c in asked.choices if c != asked.answer])
    choices.insert(gold, asked.answer)
    return {"query": f"{dice.pick(OPENINGS)} {asked.prompt}", "choices": choices, "gold": gold}


def make_task(dice: Dice, facts: Facts, task: str, count: int) -> tuple[list[dict[str, Any]], set[tuple[str, ...]]]:
    """``count`` different items of one task, and the combinations that they show."""
    items: dict[tuple[str, ...], dict[str, Any]] = {}
    shown: set[tuple[str, ...]] = set()
    positions = dice.shuffled([i % CHOICES for i in range(count)])
    while len(items) < count:
        asked, combinations = question(dice, facts, task)
        made = item(dice, asked, positions[len(items)])
        key = (made["query"], *sorted(made["choices"]))
        if key not in items:
            items[key] = made
            shown |= combinations
    return list(items.values()), shown
