"""Questions that only the picture answers: what a thing looks like, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rap_serve.domain.places import MIDDLE, relations, sides
from rap_serve.domain.region import BoxShares
from training.mllm_data import Exchange
from training.mllm_questions import with_choices
from training.mllm_sayings import COLOUR, KIND, PART, PATTERN, Saying
from training.mllm_words import Told, pick
from training.world.things import CATEGORIES, COLOURS, KINDS, PATTERNS, Thing

SIDES = (
    "On which side of the picture is {}?", "On which side is {}?", "On which side of the photo is {}?",
    "Is {} on the left or on the right?", "Which side of the image is {} on?", "Left or right: where is {}?",
    "Is {} more to the left or to the right?", "On what side do you see {}?", "Which side is {} on?",
    "Towards which side of the picture is {}?", "In which half of the picture is {}?",
)  # fmt: skip
ENDS = (
    "Where in the picture is {}?", "Where is {}?", "Where in the photo is {}?", "Is {} at the top or at the bottom?",
    "In which part of the image is {}?", "Where in the image do you see {}?", "Top or bottom: where is {}?",
    "Is {} further up or further down?", "In which part of the photo is {}?", "Where do you see {}?",
)  # fmt: skip
BESIDE = (
    "Where is {}?", "Where is {}?", "Where is {} standing?", "How does {} stand to the other?", "What is true of {}?",
    "Where do you see {}?", "What is the place of {}?", "Which is true of {}?", "Where in the picture is {}?",
)  # fmt: skip
ACROSS = ("on the left", "on the right")
OPPOSITE = {
    "on the left": "on the right", "on the right": "on the left", "at the top": "at the bottom",
    "at the bottom": "at the top", "left of": "right of", "right of": "left of", "above": "below", "below": "above",
}  # fmt: skip

_WORN_OUT = ("plain", "a wide band")
"""Patterns that nobody asks about."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A question about a place, with the right answer and wrong ones. ``value``: the right one in a line of places."""

    question: str
    right: str
    wrong: tuple[str, ...]
    value: str


def placed(
    rng: np.random.Generator,
    box: BoxShares,
    others: Sequence[tuple[str, BoxShares]],
    *,
    only: Sequence[str] | None = None,
) -> Placed:
    """A question with options about where a thing is. ``others``: handles and their boxes. ``only``: values to ask."""
    found = [_on_side(rng, side) for side in sides(box)]
    found += [
        Placed(pick(rng, BESIDE), f"{relation} {handle}", (f"{OPPOSITE[relation]} {handle}",), f"{relation} {handle}")
        for handle, other in others
        for relation in relations(box, other)
    ]
    asked = [each for each in found if only is None or each.value in only]
    return asked[int(rng.integers(len(asked)))]


def _on_side(rng: np.random.Generator, side: str) -> Placed:
    """The side or its opposite, in full or in a word, now and then with the middle as a third."""
    if side == MIDDLE:
        return Placed(pick(rng, SIDES + ENDS), side, (pick(rng, tuple(OPPOSITE)[:4]),), side)
    form = str if rng.random() < 0.5 else last_word
    wrong = (form(OPPOSITE[side]), *((MIDDLE,) if rng.random() < 0.15 else ()))
    return Placed(pick(rng, SIDES if side in ACROSS else ENDS), form(side), wrong, side)


def last_word(side: str) -> str:
    """ "left" of "on the left"."""
    return side.split()[-1]


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
