"""Scenes: four statements, told and then told again, and the facts; the ground of stories, dialogues and tests.

A scene is drawn either from training combinations or from held-out ones (``held``), never from both: in a held-out
scene *every* statement is a combination that training never shows, so that familiarity points neither to nor away
from the answer. All statements have five words or marks: telling a story again in its order is then copying at a
fixed distance, the first thing that a small model learns from context; answering out of order is the hard part.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import ATTRIBUTES, DAYS, NUMBERS, PHRASINGS, Facts, held_pair, held_sum

LENGTH = 4  # statements of a scene
FRAMES = {
    "owner": ("{0}", "has the {1}"),
    "place": ("{0}", "saw the {1}"),
    "day": ("{0}", "comes on {1}"),
    "price": ("The {0}", "costs {1}"),
}


@dataclass(frozen=True)
class Question:
    """``prompt`` + " " + ``answer``; ``choices`` holds the answer and its distractors."""

    prompt: str
    answer: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """Four (subject, value) pairs of one kind; subjects and values are all different."""

    kind: str
    pairs: tuple[tuple[str, str], ...]

    def statement(self, i: int) -> str:
        """The i-th statement, with its full stop."""
        head, tail = FRAMES[self.kind]
        return f"{head.format(self.pairs[i][0])} {tail.format('', self.pairs[i][1])}."

    def lead(self, i: int) -> str:
        """The i-th statement up to its value."""
        return self.statement(i).rsplit(" ", 1)[0]

    @property
    def text(self) -> str:
        """The statements in order."""
        return " ".join(self.statement(i) for i in range(LENGTH))

    @property
    def subjects(self) -> tuple[str, ...]:
        """What the statements are about, in order."""
        return tuple(s for s, _ in self.pairs)

    @property
    def values(self) -> tuple[str, ...]:
        """What the statements say, in order."""
        return tuple(v for _, v in self.pairs)


def lists(facts: Facts, kind: str) -> tuple[list[str], list[str]]:
    """The subjects and the values of a kind of scene."""
    left = facts.objects if kind == "price" else facts.people
    right = {"owner": facts.objects, "place": facts.places, "day": DAYS, "price": NUMBERS[:9]}[kind]
    return left, right


def held_scene(kind: str, i: int, j: int) -> bool:
    """Whether training never joins subject i and value j. Days are few: even ones are kept from even people."""
    return i % 2 == 0 and j % 2 == 0 if kind == "day" else held_pair(i, j)


def make_scene(dice: Dice, facts: Facts, kind: str, held: bool) -> Scene:
    """A scene of four different subjects with four different values."""
    left, right = lists(facts, kind)
    values = dice.sample(range(0, len(right), 2) if held and kind == "day" else range(len(right)), LENGTH)
    subjects: list[int] = []
    for j in values:
        options = [i for i in range(len(left)) if i not in subjects and held_scene(kind, i, j) == held]
        subjects.append(dice.pick(options))
    return Scene(kind, tuple((left[i], right[j]) for i, j in zip(subjects, values, strict=True)))


def in_order(scene: Scene, i: int, part: int) -> Question:
    """The story is told again and stops before the i-th subject (``part`` 0) or value (``part`` 1)."""
    again = [scene.statement(j) for j in range(i)]
    begun = scene.lead(i) if part else FRAMES[scene.kind][0].format("").strip()
    prompt = " ".join(filter(None, [scene.text, "Again:", *again, begun]))
    choices = scene.values if part else scene.subjects
    return Question(prompt, choices[i], choices)


def lookup(scene: Scene, i: int) -> Question:
    """One statement out of order, up to its value."""
    return Question(f"{scene.text} Question: {scene.lead(i)}", scene.values[i], scene.values)


def sum_of(a: int, b: int) -> str:
    """The sum of two numbers, up to its result."""
    return f"{NUMBERS[a - 1]} and {NUMBERS[b - 1]} make"


def addition(dice: Dice, held: bool) -> list[Question]:
    """Four sums that share their choices. Held out: ordered sums, whose mirror image is in the training text."""
    options = [(a, b) for a in range(1, 10) for b in range(1, 10) if held_sum(a, b) == held]
    totals = dice.sample(sorted({a + b for a, b in options}), LENGTH)
    terms = [dice.pick([(a, b) for a, b in options if a + b == total]) for total in totals]
    choices = tuple(NUMBERS[total - 1] for total in totals)
    return [Question(sum_of(a, b), NUMBERS[a + b - 1], choices) for a, b in terms]


def fact(dice: Dice, facts: Facts, held: bool) -> list[Question]:
    """Four facts in one phrasing that share their choices. Held out: the combination of subject and phrasing."""
    attribute, index = dice.pick(ATTRIBUTES), dice.below(len(PHRASINGS))
    of, kept = facts.of[attribute], facts.held[attribute]
    right = {v: [s for s in of if of[s] == v and (kept[s] == index) == held] for v in facts.values[attribute]}
    values = dice.sample([v for v in right if right[v]], LENGTH)
    phrasing = PHRASINGS[index]
    return [Question(phrasing.format(a=attribute, s=dice.pick(right[v])), v, tuple(values)) for v in values]
