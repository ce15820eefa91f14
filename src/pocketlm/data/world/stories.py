"""Documents for pre-training: scenes told twice, questions about them, facts, sums, and notes on a phone.

The questions stand in the text in the very form of the tests, with other combinations. Notes repeat spoken words in
quotes, which is how a small model learns that `` Ann`` and ``"Ann"`` are the same name before it learns calls.
"""

from __future__ import annotations

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import ACTIVITIES, DAYS, TOWNS, Facts
from pocketlm.data.world.scenes import FRAMES, LENGTH, addition, fact, make_scene

OPENINGS = ("Today:", "Now:", "Then:", "So:")
# shares of the documents, in hundredths
MIX = (("again", 44), ("question", 6), ("fact", 30), ("sum", 8), ("note", 12))
KINDS = [kind for kind, share in MIX for _ in range(share)]


def story(dice: Dice, facts: Facts, kind: str) -> str:
    """One document of a kind."""
    opening = dice.pick(OPENINGS)
    if kind in ("again", "question"):
        scene = make_scene(dice, facts, dice.pick(list(FRAMES)), False)
        if kind == "again":
            return f"{opening} {scene.text} Again: {scene.text} Again: {scene.text}"
        asked = dice.shuffled(range(LENGTH))
        return " ".join([opening, scene.text, "Question:", *(scene.statement(i) for i in asked)])
    if kind == "note":
        return f"{opening} {note(dice, facts)}"
    questions = fact(dice, facts, False) + fact(dice, facts, False) if kind == "fact" else addition(dice, False)
    return " ".join([opening, *(f"{q.prompt} {q.answer}." for q in questions)])


def note(dice: Dice, facts: Facts) -> str:
    """A spoken sentence and the note that a phone makes of it, in ``key="value"`` form."""
    person, where, thing = dice.pick(facts.people), dice.pick(facts.places), dice.pick(facts.objects)
    act, town, day = dice.pick(ACTIVITIES), dice.pick(TOWNS), dice.pick(DAYS)
    hour, minute = dice.between(1, 23), dice.between(10, 59)
    forms = (
        (f"{person} will {act} at {hour}:{minute}.", f'name="{person}", label="{act}", hour={hour}, minute={minute}'),
        (f"{person} is in {town} on {day}.", f'name="{person}", place="{town}", day="{day}"'),
        (f"meet {person} in the {where} at {hour}.", f'name="{person}", place="{where}", hour={hour}'),
        (f"bring the {thing} to {person}.", f'text="bring the {thing}", name="{person}"'),
        (
            f"tell {person} that the {thing} is in the {where}.",
            f'name="{person}", text="the {thing} is in the {where}"',
        ),
    )
    said, kept = dice.pick(forms)
    return f"{said} Note: {kept}."
