"""The world: its words, the facts that hold in every story, and which combinations are kept for the tests.

Words are short and common, so that a small byte-level BPE holds each as one token. Every value of a fact belongs to
equally many people: the choice that is most frequent in the text says nothing about the answer.
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
OBJECTS = "cup box hat bag pen key map toy book ball lamp coat ring drum fork bell kite rope flag vase fan mug net pin"
PLACES = "park shop school beach farm bank lake zoo gym cafe mill barn hall pier cave camp".split()
TOWNS = "Rome Paris Oslo Lima Cairo Delhi Tokyo Berlin Madrid Quito Dublin Seoul Perth Boston Dakar Milan".split()
JOBS = "baker doctor teacher painter farmer pilot singer driver nurse judge writer guide".split()
COLOURS = "red blue green white black brown pink grey".split()
ACTIVITIES = "read swim cook run sing dance paint fish ski jog row sew write hike climb skate".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

CLASSES = 4  # one combination in four is kept for the tests

# Each attribute of a person, in four phrasings; the value follows. A person never occurs in training with the
# phrasing that its index names (``held_phrasing``): that combination is the test.
PHRASINGS = {
    "home": ("{p} lives in", "The home of {p} is", "Where does {p} live? In", "You can visit {p} in"),
    "job": ("{p} works as a", "The job of {p} is", "What is {p}? A", "Everyone knows {p} the"),
    "colour": ("{p} likes", "The colour of {p} is", "What does {p} like? It is", "The door of {p} is"),
}


@dataclass(frozen=True)
class Facts:
    """What is true in the world of one seed."""

    people: list[str]
    objects: list[str]
    places: list[str]
    values: dict[str, list[str]]  # attribute -> its values
    of: dict[str, dict[str, str]]  # attribute -> person -> value


def make_facts(world: World) -> Facts:
    """The words and facts of a world. Raises ArtifactError where the sizes cannot be had."""
    objects = OBJECTS.split()
    for name, have, want in (
        ("people", len(PEOPLE), world.people),
        ("objects", len(objects), world.objects),
        ("places", len(PLACES), world.places),
    ):
        if want > have or want < 16 or want % CLASSES:
            raise ArtifactError(f"world.{name}: {want}; choose a multiple of {CLASSES} from 16 to {have}")
    people = PEOPLE[: world.people]
    values = {"home": TOWNS, "job": JOBS, "colour": COLOURS}
    dice = Dice(world.seed, "facts")
    of = {}
    for attribute, options in values.items():
        order = dice.shuffled(people)
        of[attribute] = {p: options[i % len(options)] for i, p in enumerate(order)}
    return Facts(people, objects[: world.objects], PLACES[: world.places], values, of)


def held_phrasing(facts: Facts, person: str, attribute: str) -> int:
    """The phrasing of an attribute that is kept for the tests of this person."""
    shift = list(PHRASINGS).index(attribute)
    return (facts.people.index(person) + shift) % len(PHRASINGS[attribute])


def held_pair(i: int, j: int) -> bool:
    """Whether the combination of the i-th and the j-th word of two lists is kept for the tests."""
    return (i + j) % CLASSES == 0


def held_sum(a: int, b: int) -> bool:
    """Whether the ordered sum a + b is kept for the tests; b + a is then in the training text."""
    low, total = min(a, b), a + b
    first = max(1, total - 9)
    return a != b and (low - first) % 2 == 0 and (a < b) == (total % 2 == 0)
