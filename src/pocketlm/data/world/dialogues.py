"""Dialogues for instruction tuning. Every kind of pre-training text comes back in them: nothing is forgotten."""

from __future__ import annotations

from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import Facts
from pocketlm.data.world.scenes import FRAMES, LENGTH, addition, fact, lookup, make_scene
from pocketlm.data.world.stories import KINDS, note, story

ASK_STORY = ("Tell me a story.", "Tell me something.", "Go on with your story.", "What is new?")


def turn(role: str, content: str) -> dict[str, str]:
    """One message."""
    return {"role": role, "content": content}


def answer(dice: Dice, facts: Facts) -> list[dict[str, str]]:
    """A question, and its answer in a sentence."""
    kind = dice.pick(("again", "question", "fact", "sum"))
    if kind in ("fact", "sum"):
        asked = dice.pick(fact(dice, facts, False) if kind == "fact" else addition(dice, False))
        return [turn("user", asked.prompt), turn("assistant", f"It is {asked.answer}.")]
    scene = make_scene(dice, facts, dice.pick(list(FRAMES)), False)
    if kind == "again":
        return [turn("user", f"{scene.text} Tell it again."), turn("assistant", f"Again: {scene.text}")]
    i = dice.below(LENGTH)
    return [turn("user", lookup(scene, i).prompt), turn("assistant", f"It is {scene.values[i]}.")]


def noted(dice: Dice, facts: Facts) -> dict[str, Any]:
    """A sentence and the note of it: every word stays in use as a value while calls are taught with some of them."""
    said, kept = note(dice, facts)
    return {"messages": [turn("user", f"Note: {said}"), turn("assistant", kept)]}


def dialogue(dice: Dice, facts: Facts) -> dict[str, Any]:
    """One dialogue: a question about a scene, or a request for a story."""
    if dice.chance(0.5):
        return {"messages": answer(dice, facts)}
    text = story(dice, facts, dice.pick(KINDS))
    return {"messages": [turn("user", dice.pick(ASK_STORY)), turn("assistant", text)]}
