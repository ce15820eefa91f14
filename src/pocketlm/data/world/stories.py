"""Documents for pre-training: short scenes with their questions, profiles of people, and notes on a phone.

The questions stand in the text in the very form of the tests, with other combinations. Notes repeat spoken words in
quotes, which is how a small model learns that `` Ann`` and ``"Ann"`` are the same name before it learns calls.
"""

from __future__ import annotations

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import PHRASINGS, Facts, held_phrasing
from pocketlm.data.world.scenes import SCENES, Question

OPENINGS = ("Today", "Now", "Look:", "Listen:", "Here is a story:", "This morning", "So")
# shares of the documents, in hundredths
MIX = (("owner", 20), ("place", 16), ("day", 12), ("price", 14), ("sum", 10), ("fact", 16), ("note", 12))
KINDS = [kind for kind, share in MIX for _ in range(share)]


def answered(question: Question) -> str:
    """A question with its answer, as a sentence."""
    return f"{question.prompt} {question.answer}."


def story(dice: Dice, facts: Facts, kind: str) -> str:
    """One document of a kind."""
    if kind == "fact":
        return profile(dice, facts)
    if kind == "note":
        return note(dice, facts)
    if kind == "sum":
        parts = []
        for _ in range(3):
            scene = SCENES[kind](dice, facts, False)
            parts.append(f"{scene.text} {answered(scene.questions[0])}")
        return " ".join([dice.pick(OPENINGS), *parts])
    scene = SCENES[kind](dice, facts, False)
    asked = dice.sample(scene.questions, min(len(scene.questions), 4))
    return " ".join([dice.pick(OPENINGS), scene.text, *map(answered, asked)])


def profile(dice: Dice, facts: Facts) -> str:
    """Facts about two people, each in phrasings that are not held out for that person."""
    sentences = []
    for person in dice.sample(facts.people, 2):
        for attribute in dice.shuffled(list(PHRASINGS)):
            keep = held_phrasing(facts, person, attribute)
            index = dice.pick([i for i in range(len(PHRASINGS[attribute])) if i != keep])
            lead = PHRASINGS[attribute][index].format(p=person)
            sentences.append(f"{lead} {facts.of[attribute][person]}.")
    return " ".join([dice.pick(OPENINGS), *sentences])


def note(dice: Dice, facts: Facts) -> str:
    """A spoken sentence and the note that a phone makes of it, in ``key="value"`` form."""
    person, where, thing = dice.pick(facts.people), dice.pick(facts.places), dice.pick(facts.objects)
    hour, minute = dice.between(1, 23), dice.between(10, 59)
    forms = (
        (f"{person} comes at {hour}:{minute}.", f'name="{person}", hour={hour}, minute={minute}'),
        (f"meet {person} in the {where} at {hour}.", f'name="{person}", place="{where}", hour={hour}'),
        (f"bring the {thing} to {person}.", f'text="bring the {thing}", name="{person}"'),
        (
            f"tell {person} that the {thing} is in the {where}.",
            f'name="{person}", text="the {thing} is in the {where}"',
        ),
    )
    said, kept = dice.pick(forms)
    return f"{dice.pick(OPENINGS)} {said} Note: {kept}."
