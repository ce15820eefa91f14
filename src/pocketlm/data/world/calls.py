"""Phone commands: functions, phrasings, and values of which some are kept for the tests.

A call is code: ``set_alarm(hour=7, minute=30, label="gym")``; several calls stand one a line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import ACTIVITIES, DAYS, TEXTS, TOWNS, Facts

# name -> (description, arguments in order: (name, type))
FUNCTIONS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "set_alarm": ("Ring at a time.", (("hour", "integer"), ("minute", "integer"), ("label", "string"))),
    "set_timer": ("Ring after some minutes.", (("minutes", "integer"),)),
    "call_contact": ("Call a person.", (("name", "string"),)),
    "send_message": ("Send a text to a person.", (("name", "string"), ("text", "string"))),
    "add_event": ("Put something into the calendar.", (("title", "string"), ("day", "string"), ("hour", "integer"))),
    "get_weather": ("Tell the weather.", (("place", "string"), ("day", "string"))),
    "navigate": ("Show the way to a place.", (("place", "string"),)),
    "set_volume": ("Set the volume, 0 to 90.", (("level", "integer"),)),
    "set_light": ("Set the light of a room.", (("place", "string"), ("level", "integer"))),
    "take_note": ("Keep a text.", (("text", "string"),)),
}

# For each function: how its values are said, in the order of the arguments; training openings; openings that only the
# tests use. The values stand last, so that a small model finds them by their distance from the end.
PHRASES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "set_alarm": (
        "{hour}:{minute} to {label}.",
        ("Wake me at", "Set an alarm for", "Ring at", "I need an alarm at"),
        ("Please wake me at", "I need to wake at"),
    ),
    "set_timer": (
        "{minutes} minutes.",
        ("Set a timer for", "Start a timer of", "Ring in", "I need a timer for"),
        ("Please start a timer for", "Please ring in"),
    ),
    "call_contact": (
        "{name}.",
        ("Call", "Please call", "I want to talk to", "Start a call with"),
        ("Please start a call with", "I want to call"),
    ),
    "send_message": (
        "{name} that {text}.",
        ("Tell", "Write to", "Send a message to", "Let me tell"),
        ("Please tell", "I want to tell"),
    ),
    "add_event": (
        "{title} on {day} at {hour}.",
        ("I will", "Plan to", "Add to my plan:", "We want to"),
        ("Please plan to", "I want to"),
    ),
    "get_weather": (
        "{place} on {day}?",
        ("How is the weather in", "Will it rain in", "Tell me the weather in", "What is the weather in"),
        ("Please tell me the weather in", "How is the rain in"),
    ),
    "navigate": (
        "{place} now.",
        ("Take me to", "Show me the way to", "I want to go to", "Bring me to"),
        ("Please show me the way to", "I want the way to"),
    ),
    "set_volume": (
        "volume {level}.",
        ("Set the", "Play at", "Turn to", "Go to"),
        ("Please set the", "Please play at"),
    ),
    "set_light": (
        "{place} to {level}.",
        ("Set the light in the", "Light in the", "Turn the light of the", "Make the light in the"),
        ("Please set the light of the", "Please turn the light in the"),
    ),
    "take_note": (
        "that {text}.",
        ("Note", "Keep in mind", "Take a note", "Do not forget"),
        ("Please note", "Please keep in mind"),
    ),
}

DOUBLE = 0.1  # share of requests for two calls
JOIN = " Then: "  # between two requests
NAME_STEP, WORD_STEP, NUMBER_STEP, TEXT_STEP = 6, 4, 5, 3  # one value in so many is kept for the tests


def word(dice: Dice, words: list[str], step: int, held: bool) -> str:
    """A word; every ``step``-th of the list is in no training call."""
    return dice.pick([w for i, w in enumerate(words) if (i % step == 0) == held])


def tens(dice: Dice, held: bool) -> int:
    """A multiple of ten up to 90; one in NUMBER_STEP is in no training call of this function.

    Every digit is a token: with two free digits, small models copy the right ones in the wrong order.
    """
    return dice.pick([n for n in range(10, 91, 10) if (n // 10 % NUMBER_STEP == 3) == held])


def text_value(dice: Dice, facts: Facts, held: bool) -> str:
    """The text of a message; some combinations of object and place are in no training call."""
    while True:
        i, j = dice.below(len(facts.objects)), dice.below(len(facts.places))
        if ((i + j) % TEXT_STEP == 0) == held:
            return dice.pick(TEXTS).format(o=facts.objects[i], w=facts.places[j])


def values(dice: Dice, facts: Facts, name: str, held: bool) -> dict[str, Any]:
    """Arguments of a call, in order; ``held`` ones hold at least one value that no training call has."""
    if name == "set_alarm":
        minute, label = 10 * dice.between(1, 5), word(dice, ACTIVITIES, WORD_STEP, held)
        return {"hour": dice.between(1, 9), "minute": minute, "label": label}
    if name == "add_event":
        title = word(dice, ACTIVITIES, WORD_STEP, held)
        return {"title": title, "day": dice.pick(DAYS), "hour": dice.between(1, 9)}
    draw: dict[str, Callable[[], Any]] = {
        "name": lambda: word(dice, facts.people, NAME_STEP, held),
        "text": lambda: text_value(dice, facts, held),
        "place": lambda: word(dice, facts.places if name == "set_light" else TOWNS, WORD_STEP, held),
        "day": lambda: dice.pick(DAYS),
        "minutes": lambda: tens(dice, held),
        "level": lambda: tens(dice, held),
    }
    return {argument: draw[argument]() for argument, _ in FUNCTIONS[name][1]}


def render(name: str, arguments: dict[str, Any]) -> str:
    """The code of a call."""
    shown = (f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in arguments.items())
    return f"{name}({', '.join(shown)})"


def code(calls: list[dict[str, Any]]) -> str:
    """The code of several calls, one a line."""
    return "\n".join(render(call["name"], call["arguments"]) for call in calls)


def request(dice: Dice, facts: Facts, held: bool, unseen: bool) -> tuple[str, list[dict[str, Any]]]:
    """A user's words, and the one or two calls that they ask for."""
    names = dice.sample(list(FUNCTIONS), 2 if dice.chance(DOUBLE) else 1)
    said, calls = [], []
    for name in names:
        arguments = values(dice, facts, name, held)
        tail, *openings = PHRASES[name]
        said.append(f"{dice.pick(openings[unseen])} {tail.format(**arguments)}")
        calls.append({"name": name, "arguments": arguments})
    return JOIN.join(said), calls


def call_dialogue(dice: Dice, facts: Facts) -> dict[str, Any]:
    """A training dialogue with one or two calls."""
    said, calls = request(dice, facts, False, False)
    return {"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": code(calls)}]}


def call_tests(dice: Dice, facts: Facts, count: int, trained: set[str]) -> list[dict[str, Any]]:
    """Held-out requests with unseen values; every second one in a phrasing that training never shows.

    ``trained`` are the lines of code of all training calls: none of them is asked for.
    """
    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < count:
        unseen = len(rows) % 2 == 1
        said, calls = request(dice, facts, True, unseen)
        group = "unseen_phrasing" if unseen else "seen_phrasing"
        if said not in rows and trained.isdisjoint(code(calls).splitlines()):
            rows[said] = {"messages": [{"role": "user", "content": said}], "calls": calls, "group": group}
    return list(rows.values())


def schema() -> dict[str, Any]:
    """``functions.json``: what each function does, and its arguments in order."""
    return {
        name: {"description": text, "arguments": [{"name": a, "type": t} for a, t in arguments]}
        for name, (text, arguments) in FUNCTIONS.items()
    }
