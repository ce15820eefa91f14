"""Scenes: four statements, told and then told again, and the facts; the ground of stories, dialogues and tests.

A scene is drawn either from training combinations or from held-out ones (``held``), never from both: in a held-out
scene *every* statement is a combination that training never shows, so that familiarity points neither to nor away
from the answer. All statements have five words or marks: telling a story again in its order is then copying at a
fixed distance, the first thing that a small model learns from context; answering out of order is the hard part.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import CLASSES, DAYS, NUMBERS, PHRASINGS, Facts, held_pair, held_phrasing, held_sum

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
    """Four (subject, value) pairs of one kind."""

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

    @property
    def combinations(self) -> set[tuple[str, ...]]:
        """What a test must not share with training."""
        return {(self.kind, *pair) for pair in self.pairs}


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


def in_order(dice: Dice, scene: Scene) -> Question:
    """The story is told again and stops before a subject or a value."""
    i = dice.below(LENGTH)
    again = [scene.statement(j) for j in range(i)]
    if dice.chance(0.5):
        prompt = " ".join([scene.text, "Again:", *again, scene.lead(i)])
        return Question(prompt, scene.values[i], scene.values)
    head = FRAMES[scene.kind][0].format("").strip()
    prompt = " ".join(filter(None, [scene.text, "Again:", *again, head]))
    return Question(prompt, scene.subjects[i], scene.subjects)


def lookup(dice: Dice, scene: Scene) -> Question:
    """One statement out of order: the value of a subject."""
    i = dice.below(LENGTH)
    return Question(f"{scene.text} Question: {scene.lead(i)}", scene.values[i], scene.values)


def sum_of(a: int, b: int) -> str:
    """The sum of two numbers, up to its result."""
    return f"{NUMBERS[a - 1]} and {NUMBERS[b - 1]} make"


def addition(dice: Dice, held: bool) -> tuple[Question, set[tuple[str, ...]]]:
    """A sum. Held out: ordered sums, whose mirror image is in the training text.

    The choices of a test are drawn first and the answer evenly among them: no result is a better guess.
    """
    options = [(a, b) for a in range(1, 10) for b in range(1, 10) if held_sum(a, b) == held]
    totals = dice.sample(sorted({a + b for a, b in options}), LENGTH)
    a, b = dice.pick([(a, b) for a, b in options if a + b == totals[0]])
    choices = tuple(NUMBERS[t - 1] for t in totals)
    return Question(sum_of(a, b), choices[0], choices), {("sum", str(a), str(b))}


def fact(dice: Dice, facts: Facts, held: bool) -> tuple[Question, set[tuple[str, ...]]]:
    """A fact in a phrasing; held out: the combination of subject and phrasing. Values are equally frequent."""
    attribute = dice.pick(list(PHRASINGS))
    options: list[str] = []
    while not options:
        index, value = dice.below(len(PHRASINGS[attribute])), dice.pick(facts.values[attribute])
        options = [
            s
            for s in facts.subjects[attribute]
            if facts.of[attribute][s] == value and (held_phrasing(facts, s, attribute) == index) == held
        ]
    subject = dice.pick(options)
    others = dice.sample([v for v in facts.values[attribute] if v != value], LENGTH - 1)
    prompt = PHRASINGS[attribute][index].format(s=subject)
    return Question(prompt, value, (value, *others)), {("fact", subject, attribute, str(index))}
