"""Held-out multiple-choice items: ``{query, choices, gold}``, four choices, every answer position equally often."""

from __future__ import annotations

from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import Facts
from pocketlm.data.world.scenes import SCENES, Question
from pocketlm.data.world.stories import OPENINGS

CHOICES = 4


def item(dice: Dice, question: Question, text: str, gold: int) -> dict[str, Any]:
    """One item with the answer at position ``gold``."""
    others = [c for c in dict.fromkeys(question.choices) if c != question.answer]
    choices = dice.sample(others, CHOICES - 1)
    choices.insert(gold, question.answer)
    query = " ".join(filter(None, [dice.pick(OPENINGS), text, question.prompt]))
    return {"query": query, "choices": choices, "gold": gold}


def task(dice: Dice, facts: Facts, kind: str, count: int) -> tuple[list[dict[str, Any]], set[tuple[str, ...]]]:
    """``count`` different items of one kind, and the combinations that they show."""
    items: dict[tuple[str, ...], dict[str, Any]] = {}
    shown: set[tuple[str, ...]] = set()
    positions = dice.shuffled([i % CHOICES for i in range(count)])
    while len(items) < count:
        scene = SCENES[kind](dice, facts, True)
        made = item(dice, dice.pick(scene.questions), scene.text, positions[len(items)])
        key = (made["query"], *sorted(made["choices"]))
        if key not in items:
            items[key] = made
            shown |= scene.combinations
    return list(items.values()), shown
