"""Dialogues for instruction tuning. Every kind of pre-training text comes back in them, so that nothing is forgotten."""

from __future__ import annotations

from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import Facts
from pocketlm.data.world.scenes import SCENES
from pocketlm.data.world.stories import KINDS, story

ASK_STORY = ("Tell me a story.", "Tell me something.", "Go on with your story.", "What is new?")


def turn(role: str, content: str) -> dict[str, str]:
    """One message."""
    return {"role": role, "content": content}


def answer(dice: Dice, facts: Facts) -> list[dict[str, str]]:
    """A scene and a question about it; the answer follows in the second form of the question."""
    kind = dice.pick(list(SCENES))
    scene = SCENES[kind](dice, facts, False)
    question = dice.pick(scene.questions)
    asked, _, lead = question.prompt.rpartition("?") if "?" in question.prompt else ("", "", question.prompt)
    user = " ".join(filter(None, [scene.text, f"{asked}?" if asked else "Go on."]))
    lead = lead.strip() or "It is"
    return [turn("user", user), turn("assistant", f"{lead} {question.answer}.")]


def dialogue(dice: Dice, facts: Facts) -> dict[str, Any]:
    """One dialogue: a question about a scene, or a request for a story."""
    if dice.chance(0.5):
        return {"messages": answer(dice, facts)}
    text = story(dice, facts, dice.pick(KINDS))
    return {"messages": [turn("user", dice.pick(ASK_STORY)), turn("assistant", text)]}
