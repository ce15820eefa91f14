"""The world: its words, the facts that hold in every story, and which combinations are kept for the tests.

Words are short and common, so that a small byte-level BPE holds each as one token. Every value of a fact belongs to
equally many subjects: the choice that is most frequent in the text says nothing about the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlm.artifacts import ArtifactError
from pocketlm.config import World
from pocketlm.data.world.dice import Dice

PEOPLE = (
    "Tom Ann Bob Sue Max Eva Leo Mia Sam Amy Ben Zoe Dan Kim Ian Joy Ray Liz Ted Ida Gus Fay Hal Pam "
    "Jim Meg Ned Una Rob Lea Vic Dot Cal Roz Abe Nan Kay Lou Mae Ora Pia Rex Sid Tia Uma Val Wes Yan"
).split()
OBJECTS = (
    "cup box hat bag pen key map toy book ball lamp coat ring drum fork bell kite rope flag vase fan mug net pin"
).split()
PLACES = "park shop school beach farm bank lake zoo gym cafe mill barn hall pier cave camp".split()
TOWNS = "Rome Paris Oslo Lima Cairo Delhi Tokyo Berlin".split()
JOBS = "baker doctor teacher painter farmer pilot singer driver".split()
COLOURS = "red blue green white black brown pink grey".split()
SIZES = "tiny small big huge".split()
ACTIVITIES = "read swim cook run sing dance paint fish ski jog row sew write hike climb skate".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
).split()

CLASSES = 4  # one combination in four is kept for the tests

# Each attribute in several phrasings; the value follows. A subject never occurs in training with the phrasing that
# ``held_phrasing`` names: that combination is the test.
PHRASINGS = {
    "home": ("{s} lives in", "The home of {s} is", "Where is {s} from?"),
    "job": ("{s} works as a", "The job of {s} is", "What is {s}? A"),
    "colour": ("{s} likes", "The colour of {s} is", "What does {s} like?"),
    "size": ("The {s} is", "The size of a {s} is", "How big is the {s}?"),
}


@dataclass(frozen=True)
class Facts:
    """What is true in the world of one seed."""

    people: list[str]
    objects: list[str]
    places: list[str]
    values: dict[str, list[str]]  # attribute -> its values
    subjects: dict[str, list[str]]  # attribute -> whom or what it is an attribute of
    of: dict[str, dict[str, str]]  # attribute -> subject -> value


def make_facts(world: World) -> Facts:
    """The words and facts of a world. Raises ArtifactError where the sizes cannot be had."""
    for name, have, want in (
        ("people", len(PEOPLE), world.people),
        ("objects", len(OBJECTS), world.objects),
        ("places", len(PLACES), world.places),
    ):
        if want > have or want < 16 or want % 8:
            raise ArtifactError(f"world.{name}: {want}; choose a multiple of 8 from 16 to {have}")
    people, objects = PEOPLE[: world.people], OBJECTS[: world.objects]
    values = {"home": TOWNS, "job": JOBS, "colour": COLOURS, "size": SIZES}
    subjects = {"home": people, "job": people, "colour": people, "size": objects}
    dice = Dice(world.seed, "facts")
    of = {}
    for attribute, options in values.items():
        order = dice.shuffled(subjects[attribute])
        of[attribute] = {s: options[i % len(options)] for i, s in enumerate(order)}
    return Facts(people, objects, PLACES[: world.places], values, subjects, of)


def held_phrasing(facts: Facts, subject: str, attribute: str) -> int:
    """The phrasing of an attribute that is kept for the tests of this subject.

    Subjects that share a value take turns, so that a phrasing shows every value equally often in training.
    """
    value = facts.of[attribute][subject]
    peers = [s for s in facts.subjects[attribute] if facts.of[attribute][s] == value]
    return (peers.index(subject) + facts.values[attribute].index(value)) % len(PHRASINGS[attribute])


def held_pair(i: int, j: int) -> bool:
    """Whether the combination of the i-th and the j-th word of two lists is kept for the tests."""
    return (i + j) % CLASSES == 0


def held_sum(a: int, b: int) -> bool:
    """Whether the ordered sum a + b is kept for the tests; b + a is then in the training text."""
    low, total = min(a, b), a + b
    first = max(1, total - 9)
    return a != b and (low - first) % 2 == 0 and (a < b) == (total % 2 == 0)
