"""Documents for pre-training: scenes told twice, questions about them, facts, sums, and notes on a phone.

The questions stand in the text in the very form of the tests, with other combinations. Notes repeat spoken words in
quotes, which is how a small model learns that `` Ann`` and ``"Ann"`` are the same name before it learns calls.
"""

from __future__ import annotations

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import ACTIVITIES, DAYS, TEXTS, TOWNS, Facts
from pocketlm.data.world.scenes import FRAMES, LENGTH, addition, fact, make_scene

OPENINGS = ("Today:", "Now:", "Then:", "So:")
# shares of the documents, in hundredths
MIX = (("again", 36), ("question", 4), ("fact", 18), ("sum", 8), ("note", 18), ("dictation", 16))
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
        return "{} {} Note: {}.".format(opening, *note(dice, facts))
    if kind == "dictation":
        return f"{opening} {dictation(dice, facts)}"
    questions = fact(dice, facts, False) + fact(dice, facts, False) if kind == "fact" else addition(dice, False)
    return " ".join([opening, *(f"{q.prompt} {q.answer}." for q in questions)])


def note(dice: Dice, facts: Facts) -> tuple[str, str]:
    """A spoken sentence, and the note that a phone makes of it in ``key="value"`` form.

    Notes hold every word as a value, those that no training call has among them: copying is learned here for all.
    """
    person, where = dice.pick(facts.people), dice.pick(facts.places)
    text = dice.pick(TEXTS).format(o=dice.pick(facts.objects), w=where)
    act, town, day = dice.pick(ACTIVITIES), dice.pick(TOWNS), dice.pick(DAYS)
    hour, minute, level = dice.between(1, 9), 10 * dice.between(1, 5), 10 * dice.between(1, 9)
    forms = (
        (f"at {hour}:{minute} to {act}.", f'hour={hour}, minute={minute}, label="{act}"'),
        (f"{act} on {day} at {hour}.", f'title="{act}", day="{day}", hour={hour}'),
        (f"in {town} on {day}.", f'place="{town}", day="{day}"'),
        (f"to {town} now.", f'place="{town}"'),
        (f"with {person}.", f'name="{person}"'),
        (f"in the {where} to {level}.", f'place="{where}", level={level}'),
        (f"tell {person} that {text}.", f'name="{person}", text="{text}"'),
        (f"note that {text}.", f'text="{text}"'),
    )
    return dice.pick(forms)


def dictation(dice: Dice, facts: Facts) -> str:
    """Words and the same words in quotes."""
    return "Write: " + ", ".join(f'{word} "{word}"' for word in spoken(dice, facts, 8)) + "."


def spoken(dice: Dice, facts: Facts, count: int) -> list[str]:
    """Words that may become an argument of a call, those that no training call has among them."""
    kinds = (facts.people, facts.objects, facts.places, TOWNS, ACTIVITIES, DAYS)
    return [dice.pick(dice.pick(kinds)) for _ in range(count)]
