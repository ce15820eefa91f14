"""The world: its words, the facts that hold in every story, and which combinations are kept for the tests.

Words are short and common, so that a small byte-level BPE holds each as one token. Every value of a fact belongs to
equally many subjects: the choice that is most frequent in the text says nothing about the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketlm.artifacts import ArtifactError
from pocketlm.config import World
from pocketlm.data.world.dice import Dice


def words(text: str) -> list[str]:
    """The words of a line."""
    return text.split()


PEOPLE = words(
    "Tom Ann Bob Sue Max Eva Leo Mia Sam Amy Ben Zoe Dan Kim Ian Joy Ray Liz Ted Ida Gus Fay Hal Pam "
    "Jim Meg Ned Una Rob Lea Vic Dot Cal Roz Abe Nan Kay Lou Mae Ora Pia Rex Sid Tia Uma Val Wes Yan"
)
OBJECTS = words(
    "cup box hat bag pen key map toy book ball lamp coat ring drum fork bell kite rope flag vase fan mug net pin"
)
PLACES = words("park shop school beach farm bank lake zoo gym cafe mill barn hall pier cave camp")
TOWNS = words("Rome Paris Oslo Lima Cairo Delhi Tokyo Berlin Madrid Quito Dublin Seoul Perth Boston Dakar Milan")
JOBS = words("baker doctor teacher painter farmer pilot singer driver")
COLOURS = words("red blue green white black brown pink grey")
SIZES = words("tiny small big huge")
ACTIVITIES = words("read swim cook run sing dance paint fish ski jog row sew write hike climb skate")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
NUMBERS = words(
    "one two three four five six seven eight nine "
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
)

# what people write to each other, always of the same length
TEXTS = ("the {o} is in the {w}", "leave the {o} in the {w}", "bring the {o} to the {w}", "take the {o} from the {w}")

CLASSES = 4  # one combination in four is kept for the tests

# A fact in several phrasings; the value follows. A subject never occurs in training with the phrasing that
# ``Facts.held`` names: that combination is the test. Attribute and subject stand at the same distance from the value
# in every phrasing, so that a small model can carry what it learned from one to another.
ATTRIBUTES = ("home", "job", "colour", "size")
PHRASINGS = ("The {a} of {s} is", "Which {a} has {s}?", "About the {a} of {s}:")


@dataclass(frozen=True)
class Facts:
    """What is true in the world of one seed."""

    people: list[str]
    objects: list[str]
    places: list[str]
    values: dict[str, list[str]]  # attribute -> its values
    subjects: dict[str, list[str]]  # attribute -> whom or what it is an attribute of
    of: dict[str, dict[str, str]]  # attribute -> subject -> value
    held: dict[str, dict[str, int]]  # attribute -> subject -> phrasing kept for the tests


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
    values = {"home": TOWNS[:8], "job": JOBS, "colour": COLOURS, "size": SIZES}
    subjects = {"home": people, "job": people, "colour": people, "size": objects}
    dice = Dice(world.seed, "facts")
    of = {}
    for attribute, options in values.items():
        order = dice.shuffled(subjects[attribute])
        of[attribute] = {s: options[i % len(options)] for i, s in enumerate(order)}
    held = {a: held_phrasings(values[a], of[a]) for a in ATTRIBUTES}
    return Facts(people, objects, PLACES[: world.places], values, subjects, of, held)


def held_phrasings(values: list[str], of: dict[str, str]) -> dict[str, int]:
    """The phrasing of an attribute that is kept for the tests of each subject.

    Subjects that share a value take turns, so that a phrasing shows every value equally often in training.
    """
    held = {}
    for number, value in enumerate(values):
        peers = [s for s in of if of[s] == value]
        held.update({s: (i + number) % len(PHRASINGS) for i, s in enumerate(peers)})
    return held


def held_pair(i: int, j: int) -> bool:
    """Whether the combination of the i-th and the j-th word of two lists is kept for the tests."""
    return (i + j) % CLASSES == 0


def held_sum(a: int, b: int) -> bool:
    """Whether the ordered sum a + b is kept for the tests; b + a is then in the training text."""
    low, total = min(a, b), a + b
    first = max(1, total - 9)
    return a != b and (low - first) % 2 == 0 and (a < b) == (total % 2 == 0)
