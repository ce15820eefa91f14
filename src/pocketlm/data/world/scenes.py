"""Scenes: a few statements and the questions that they answer, the common ground of stories, dialogues and tests.

A scene is drawn either from training combinations or from held-out ones (``held``), never from both: in a held-out
scene *every* statement and every (question, choice) pair is a combination that training never shows, so that
familiarity points neither to nor away from the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pocketlm.data.world.dice import Dice
from pocketlm.data.world.facts import ACTIVITIES, CLASSES, DAYS, PHRASINGS, Facts, held_pair, held_phrasing, held_sum


@dataclass
class Question:
    """``prompt`` + " " + ``answer`` + "." is the sentence; ``choices`` holds the answer and its distractors."""

    prompt: str
    answer: str
    choices: list[str]


@dataclass
class Scene:
    """Statements in order, questions about them, and the combinations that they show."""

    statements: list[str]
    questions: list[Question]
    combinations: set[tuple[str, ...]] = field(default_factory=set)

    @property
    def text(self) -> str:
        """The statements as one paragraph."""
        return " ".join(self.statements)


def pairs(dice: Dice, left: list[str], right: list[str], k: int, held: bool) -> list[tuple[str, str]]:
    """``k`` pairs without repeated words, all held out or all from training."""
    if held:
        c = dice.below(CLASSES)
        right_class = (CLASSES - c) % CLASSES
        return list(zip(dice.sample(left[c::CLASSES], k), dice.sample(right[right_class::CLASSES], k), strict=True))
    while True:
        a, b = dice.sample(range(len(left)), k), dice.sample(range(len(right)), k)
        if not any(held_pair(i, j) for i, j in zip(a, b, strict=True)):
            return [(left[i], right[j]) for i, j in zip(a, b, strict=True)]


def size(dice: Dice, held: bool) -> int:
    """Number of statements: four in a test, two to five in training (short ones teach looking up early)."""
    return 4 if held else dice.between(2, 5)


def owner(dice: Dice, facts: Facts, held: bool) -> Scene:
    """Who has what."""
    found = pairs(dice, facts.people, facts.objects, size(dice, held), held)
    people, things = [p for p, _ in found], [o for _, o in found]
    questions = []
    for p, o in found:
        questions.append(Question(f"Who has the {o}?", p, people))
        questions.append(Question(f"What does {p} have? The", o, things))
    statements = [f"{p} has the {o}." for p, o in found]
    return Scene(statements, questions, {("owner", p, o) for p, o in found})


def place(dice: Dice, facts: Facts, held: bool) -> Scene:
    """Where people are after some of them moved: the last place counts."""
    k = 4 if held else dice.between(3, 5)
    found = pairs(dice, facts.people, facts.places, k, held)
    moves = 1 if held else dice.between(0, 2)
    at: dict[str, str] = {}
    statements = []
    order = [(p, w) for p, w in found]
    people = [p for p, _ in order[: k - moves]]
    for i, (p, w) in enumerate(order):
        if i < k - moves:
            statements.append(f"{p} is in the {w}.")
            at[p] = w
            continue
        movers = [q for q in people if held or not held_pair(facts.people.index(q), facts.places.index(w))]
        if movers:
            mover = dice.pick(movers)
            statements.append(f"{mover} goes to the {w}.")
            at[mover] = w
    places = [s.rsplit(" ", 1)[1][:-1] for s in statements]
    questions = [Question(f"Where is {p}? In the", w, places) for p, w in at.items()]
    shown = {("place", s.split(" ", 1)[0], w) for s, w in zip(statements, places, strict=True)}
    return Scene(statements, questions, shown)


def day(dice: Dice, facts: Facts, held: bool) -> Scene:
    """Who does what on which day: two people with the same two activities, so both words of the question count."""
    if held:
        c = dice.below(CLASSES)
        people = dice.sample(facts.people[c::CLASSES], 2)
        acts = dice.sample(ACTIVITIES[(CLASSES - c) % CLASSES :: CLASSES], 2)
    else:
        while True:
            ps, js = dice.sample(range(len(facts.people)), 2), dice.sample(range(len(ACTIVITIES)), 2)
            if not any(held_pair(i, j) for i in ps for j in js):
                people, acts = [facts.people[i] for i in ps], [ACTIVITIES[j] for j in js]
                break
    days = dice.sample(DAYS, 4)
    cells = dice.shuffled([(p, a) for p in people for a in acts])
    if not held:
        cells = cells[: dice.between(2, 4)]
    rows = list(zip(cells, days, strict=False))
    statements = [f"{p} will {a} on {d}." for (p, a), d in rows]
    shown = [d for _, d in rows]
    questions = [Question(f"When will {p} {a}? On", d, shown) for (p, a), d in rows]
    return Scene(statements, questions, {("day", p, a) for (p, a), _ in rows})


def price(dice: Dice, facts: Facts, held: bool) -> Scene:
    """Prices, the highest and the lowest. Held out: objects of one block, which training never prices together."""
    block = len(facts.objects) // CLASSES
    if held:
        start = dice.below(CLASSES) * block
        things = dice.sample(facts.objects[start : start + block], 4)
    else:
        blocks = dice.sample(range(CLASSES), dice.between(2, 4))
        things = [facts.objects[b * block + dice.below(block)] for b in blocks]
    costs = dice.sample(range(1, 10), len(things))
    rows = sorted(zip(costs, things, strict=True))
    questions = [
        Question("Which costs most? The", rows[-1][1], things),
        Question("Which costs least? The", rows[0][1], things),
    ]
    if not held:
        c, t = dice.pick(rows)
        questions.append(Question(f"How much is the {t}?", str(c), [str(x) for x in costs]))
    statements = [f"The {t} costs {c}." for t, c in zip(things, costs, strict=True)]
    shown = {("price", a, b) for a in things for b in things if a < b}
    return Scene(statements, questions, shown)


def addition(dice: Dice, facts: Facts, held: bool) -> Scene:
    """Two prices and their sum. Held out: ordered sums, whose mirror image is in the training text."""
    options = [(a, b) for a in range(1, 10) for b in range(1, 10) if held_sum(a, b) == held]
    if held:  # the four choices are drawn first and the answer evenly among them: no sum is a better guess
        totals = dice.sample(sorted({a + b for a, b in options}), 4)
        a, b = dice.pick([(a, b) for a, b in options if a + b == totals[0]])
    else:
        a, b = dice.pick(options)
        totals = [a + b]
    p, (x, y) = dice.pick(facts.people), dice.sample(facts.objects, 2)
    statements = [f"{p} buys a {x} for {a} and a {y} for {b}."]
    question = Question(f"{p} pays", str(a + b), [str(t) for t in totals])
    return Scene(statements, [question], {("sum", str(a), str(b))})


def fact(dice: Dice, facts: Facts, held: bool) -> Scene:
    """A fact about a person, in a phrasing; held out: the combination of person and phrasing."""
    person, attribute = dice.pick(facts.people), dice.pick(list(PHRASINGS))
    keep = held_phrasing(facts, person, attribute)
    options = [i for i in range(len(PHRASINGS[attribute])) if (i == keep) == held]
    index = dice.pick(options)
    value = facts.of[attribute][person]
    others = dice.sample([v for v in facts.values[attribute] if v != value], 3)
    question = Question(PHRASINGS[attribute][index].format(p=person), value, [value, *others])
    return Scene([], [question], {("fact", person, attribute, str(index))})


SCENES: dict[str, Callable[[Dice, Facts, bool], Scene]] = {
    "owner": owner,
    "place": place,
    "day": day,
    "price": price,
    "sum": addition,
    "fact": fact,
}
