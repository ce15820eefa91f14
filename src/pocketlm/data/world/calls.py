"""Phone commands: functions, phrasings, and values of which some are kept for the tests.

A call is code: ``set_alarm(hour=7, minute=30, label="gym")``; several calls stand one a line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import ACTIVITIES, DAYS, TOWNS, Facts

# name -> (description, arguments in order: (name, type))
FUNCTIONS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "set_alarm": ("Ring at a time.", (("hour", "integer"), ("minute", "integer"), ("label", "string"))),
    "set_timer": ("Ring after some minutes.", (("minutes", "integer"),)),
    "call_contact": ("Call a person.", (("name", "string"),)),
    "send_message": ("Send a text to a person.", (("name", "string"), ("text", "string"))),
    "add_event": ("Put something into the calendar.", (("title", "string"), ("day", "string"), ("hour", "integer"))),
    "get_weather": ("Tell the weather.", (("place", "string"), ("day", "string"))),
    "navigate": ("Show the way to a place.", (("place", "string"),)),
    "set_volume": ("Set the volume, 0 to 99.", (("level", "integer"),)),
    "set_light": ("Set the light of a room.", (("place", "string"), ("level", "integer"))),
    "take_note": ("Keep a text.", (("text", "string"),)),
}

# Training phrasings, then those that only the tests use.
PHRASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "set_alarm": (
        (
            "Wake me at {hour}:{minute} to {label}.",
            "Set an alarm for {hour}:{minute} to {label}.",
            "I have to {label} at {hour}:{minute}, set an alarm.",
            "An alarm at {hour}:{minute} please, to {label}.",
        ),
        ("Please set an alarm at {hour}:{minute} to {label}.", "Wake me to {label} at {hour}:{minute}."),
    ),
    "set_timer": (
        (
            "Set a timer for {minutes} minutes.",
            "Start a timer of {minutes} minutes.",
            "Ring in {minutes} minutes.",
            "A timer for {minutes} minutes please.",
        ),
        ("Please start a timer for {minutes} minutes.", "Set the timer to {minutes} minutes."),
    ),
    "call_contact": (
        ("Call {name}.", "Please call {name}.", "I want to talk to {name}.", "Start a call with {name}."),
        ("Please start a call with {name}.", "I want to call {name}."),
    ),
    "send_message": (
        (
            "Tell {name} that {text}.",
            "Send {name} a message: {text}.",
            "Write to {name} that {text}.",
            "A message to {name}: {text}.",
        ),
        ("Please tell {name} that {text}.", "Send a message to {name} that {text}."),
    ),
    "add_event": (
        (
            "I will {title} on {day} at {hour}.",
            "On {day} at {hour} I will {title}.",
            "Plan to {title} on {day} at {hour}.",
            "Add to my plan: {title} on {day} at {hour}.",
        ),
        ("Please plan to {title} on {day} at {hour}.", "Plan on {day} at {hour} to {title}."),
    ),
    "get_weather": (
        (
            "How is the weather in {place} on {day}?",
            "Will it rain in {place} on {day}?",
            "Weather in {place} on {day}.",
            "Tell me the weather on {day} in {place}.",
        ),
        ("Please tell me the weather in {place} on {day}.", "How is the weather on {day} in {place}?"),
    ),
    "navigate": (
        (
            "Take me to {place}.",
            "Show me the way to {place}.",
            "How do I get to {place}?",
            "I want to go to {place}.",
        ),
        ("Please show me the way to {place}.", "Please take me to {place}."),
    ),
    "set_volume": (
        (
            "Set the volume to {level}.",
            "Volume {level} please.",
            "Play at volume {level}.",
            "Turn the volume to {level}.",
        ),
        ("Please turn the volume to {level}.", "Please set the volume at {level}."),
    ),
    "set_light": (
        (
            "Set the light in the {place} to {level}.",
            "Light in the {place} to {level} please.",
            "Turn the light of the {place} to {level}.",
            "In the {place}, set the light to {level}.",
        ),
        ("Please turn the light in the {place} to {level}.", "In the {place}, turn the light to {level}."),
    ),
    "take_note": (
        ("Note that {text}.", "Keep in mind that {text}.", "Take a note: {text}.", "Do not forget that {text}."),
        ("Please note that {text}.", "Please take a note that {text}."),
    ),
}

DOUBLE = 0.15  # share of requests for two calls
JOIN = " Then: "  # between two requests
NAME_STEP, WORD_STEP, NUMBER_STEP, TEXT_STEP = 6, 4, 5, 3  # one value in so many is kept for the tests


def word(dice: Dice, words: list[str], step: int, held: bool) -> str:
    """A word; every ``step``-th of the list is in no training call."""
    return dice.pick([w for i, w in enumerate(words) if (i % step == 0) == held])


def number(dice: Dice, low: int, high: int, held: bool) -> int:
    """A number; one in NUMBER_STEP is in no training call of this function."""
    return dice.pick([n for n in range(low, high + 1) if (n % NUMBER_STEP == 3) == held])


def text_value(dice: Dice, facts: Facts, held: bool) -> str:
    """The text of a message; some combinations of object and place are in no training call."""
    while True:
        i, j = dice.below(len(facts.objects)), dice.below(len(facts.places))
        if ((i + j) % TEXT_STEP == 0) == held:
            break
    thing, where = facts.objects[i], facts.places[j]
    forms = (f"the {thing} is in the {where}", f"I have the {thing}", f"we meet in the {where}", f"bring the {thing}")
    return forms[0] if held else dice.pick(forms)


def values(dice: Dice, facts: Facts, name: str, held: bool) -> dict[str, Any]:
    """Arguments of a call, in order; ``held`` ones hold at least one value that no training call has."""
    if name == "set_alarm":
        minute = number(dice, 10, 59, held)
        return {"hour": dice.between(1, 23), "minute": minute, "label": dice.pick(ACTIVITIES)}
    if name == "add_event":
        title = word(dice, ACTIVITIES, WORD_STEP, held)
        return {"title": title, "day": dice.pick(DAYS), "hour": dice.between(1, 23)}
    draw: dict[str, Callable[[], Any]] = {
        "name": lambda: word(dice, facts.people, NAME_STEP, held),
        "text": lambda: text_value(dice, facts, held),
        "place": lambda: word(dice, facts.places if name == "set_light" else TOWNS, WORD_STEP, held),
        "day": lambda: dice.pick(DAYS),
        "minutes": lambda: number(dice, 2, 99, held),
        "level": lambda: number(dice, 2, 99, held),
    }
    return {argument: draw[argument]() for argument, _ in FUNCTIONS[name][1]}


def render(name: str, arguments: dict[str, Any]) -> str:
    """The code of a call."""
    shown = (f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in arguments.items())
    return f"{name}({', '.join(shown)})"


def request(dice: Dice, facts: Facts, held: bool, unseen: bool) -> tuple[str, list[dict[str, Any]]]:
    """A user's words, and the one or two calls that they ask for."""
    names = dice.sample(list(FUNCTIONS), 2 if dice.chance(DOUBLE) else 1)
    said, calls = [], []
    for name in names:
        arguments = values(dice, facts, name, held)
        phrase = dice.pick(PHRASES[name][1 if unseen else 0])
        said.append(phrase.format(**arguments))
        calls.append({"name": name, "arguments": arguments})
    return JOIN.join(said), calls


def call_dialogue(dice: Dice, facts: Facts) -> dict[str, Any]:
    """A training dialogue with one or two calls."""
    said, calls = request(dice, facts, False, False)
    code = "\n".join(render(c["name"], c["arguments"]) for c in calls)
    return {"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": code}]}


def call_tests(dice: Dice, facts: Facts, count: int) -> list[dict[str, Any]]:
    """Held-out requests with unseen values; every second one in a phrasing that training never shows."""
    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < count:
        unseen = len(rows) % 2 == 1
        said, calls = request(dice, facts, True, unseen)
        group = "unseen_phrasing" if unseen else "seen_phrasing"
        if said not in rows:
            rows[said] = {"messages": [{"role": "user", "content": said}], "calls": calls, "group": group}
    return list(rows.values())


def schema() -> dict[str, Any]:
    """``functions.json``: what each function does, and its arguments in order."""
    return {
        name: {"description": text, "arguments": [{"name": a, "type": t} for a, t in arguments]}
        for name, (text, arguments) in FUNCTIONS.items()
    }
