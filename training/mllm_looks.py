"""Questions that only the picture answers: what a thing looks like, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.mllm_data import Exchange
from training.mllm_questions import with_choices
from training.mllm_sayings import COLOUR, KIND, PART, PATTERN, Saying
from training.mllm_words import Told, pick
from training.world.things import CATEGORIES, COLOURS, KINDS, PATTERNS, Thing

Middle = tuple[float, float]

SIDES = (
    "On which side of the picture is {}?", "On which side is {}?", "On which side of the photo is {}?",
    "Is {} on the left or on the right?", "Which side of the image is {} on?",
)  # fmt: skip
ENDS = (
    "Where in the picture is {}?", "Where is {}?", "Where in the photo is {}?", "Is {} at the top or at the bottom?",
    "In which part of the image is {}?",
)  # fmt: skip
BESIDE = ("Where is {}?", "Where is {} standing?", "How does {} stand to the other?", "What is true of {}?")
OFF_MIDDLE, APART = 0.14, 0.25
"""Shares of the picture: from the middle to a side, and between two things."""

_WORN_OUT = ("plain", "a wide band")
"""Patterns that nobody asks about."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A question about a place, with the right answer and a wrong one."""

    question: str
    right: str
    wrong: str


def side_of(middle: Middle) -> str:
    """In words, where in the picture."""
    x, y = middle
    if abs(x - 0.5) < OFF_MIDDLE and abs(y - 0.5) < OFF_MIDDLE:
        return "in the middle"
    if abs(x - 0.5) >= abs(y - 0.5):
        return "on the left" if x < 0.5 else "on the right"
    return "at the top" if y < 0.5 else "at the bottom"


def placed(rng: np.random.Generator, middle: Middle, others: Sequence[tuple[str, Middle]]) -> Placed | None:
    """A question with two answers about where a thing is, where that is clear. ``others``: handles and places."""
    (x, y), found = middle, list[Placed]()
    on, at = pick(rng, ("", "on the ")), pick(rng, ("at the ", "at the ", ""))
    if abs(x - 0.5) > OFF_MIDDLE:
        sides = (f"{on}left", f"{on}right")
        found.append(_placed(rng, SIDES, sides, x < 0.5))
    if abs(y - 0.5) > OFF_MIDDLE:
        found.append(_placed(rng, ENDS, (f"{at}top", f"{at}bottom"), y < 0.5))
    for handle, (other_x, other_y) in others:
        if abs(x - other_x) > APART:
            found.append(_placed(rng, BESIDE, (f"left of {handle}", f"right of {handle}"), x < other_x))
        if abs(y - other_y) > APART:
            found.append(_placed(rng, BESIDE, (f"above {handle}", f"below {handle}"), y < other_y))
    return found[int(rng.integers(len(found)))] if found else None


def _placed(rng: np.random.Generator, questions: tuple[str, ...], sides: tuple[str, str], first: bool) -> Placed:
    right, wrong = sides if first else sides[::-1]
    return Placed(pick(rng, questions), right, wrong)


def looks_of(thing: Thing, told: Told, info: str) -> list[Saying]:
    """What can be seen of the thing and is not said; nothing where the info says that it is something else."""
    if told.phrase and told.colour != thing.base:
        return []
    kind = KINDS[thing.category]
    rows = (
        ("category", KIND, thing.category, CATEGORIES),
        ("colour", COLOUR, thing.base, tuple(COLOURS)),
        ("pattern", PATTERN, thing.pattern, tuple(p for p in PATTERNS if p not in _WORN_OUT)),
        ("part", PART, kind.parts[thing.part], kind.parts),
    )
    return [
        Saying(name, questions, "", value, lambda rng, others=others: pick(rng, others))  # type: ignore[misc]
        for name, questions, value, others in rows
        if value not in info and value in others
    ]


def seen(thing: Thing, kind: str, rng: np.random.Generator) -> Exchange:
    """A question of ``kind``, colour or category, about the only thing on a picture; half of the time with options."""
    if kind == "colour":
        word = pick(rng, ("it", "this", "the thing", f"the {thing.category}"))
        question = pick(rng, ("What colour is {}?", "What color is {}?", "What is the colour of {}?")).format(word)
        right, others, answer = thing.base, tuple(COLOURS), f"It is {thing.base}."
    else:
        question = pick(rng, ("What kind of thing is this?", "What kind of thing is it?", "What category is this?"))
        right, others, answer = thing.category, CATEGORIES, f"It is a {thing.category}."
    if rng.random() < 0.5:
        return Exchange(question, answer, (), "seen")
    wrong = [others[int(i)] for i in rng.permutation(len(others))[:3] if others[int(i)] != right]
    question, letter = with_choices(rng, question, right, wrong[: int(rng.integers(1, 3))])
    return Exchange(question, letter, (), "seen", (), right, (right, *wrong))
