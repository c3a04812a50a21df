"""What there is in the world: things, each one a tuple of discrete attributes."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np

from training.world.kinds import KINDS

Split = Literal["train", "dev", "test"]
Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (200, 32, 38),
    "orange": (236, 122, 28),
    "yellow": (242, 204, 48),
    "lime": (150, 200, 50),
    "green": (46, 134, 62),
    "teal": (22, 138, 138),
    "turquoise": (80, 200, 205),
    "blue": (38, 92, 196),
    "navy": (26, 36, 88),
    "purple": (112, 52, 152),
    "magenta": (200, 36, 132),
    "pink": (242, 152, 178),
    "brown": (112, 68, 38),
    "tan": (186, 142, 92),
    "beige": (226, 206, 170),
    "white": (240, 240, 236),
    "grey": (136, 138, 142),
    "black": (34, 34, 38),
}
FUR = ("brown", "tan", "beige", "white", "grey", "black", "orange")

PATTERNS = (
    "plain",
    "stripes",
    "hoops",
    "diagonal stripes",
    "dots",
    "checks",
    "patches",
    "speckles",
    "a wide band",
    "zigzags",
    "marbling",
    "diamonds",
)
FINISHES = ("matte", "glossy", "furry", "woven", "wooden")
WORN = ("nothing", "collar", "scarf", "hat", "bow", "glasses")
EMBLEMS = ("nothing", "heart", "star", "smiling face", "ring", "leaf", "label", "cross")
MARKS = 64


HELD_OUT = ("rabbit", "jug", "bus", "bench")
"""Categories that only the test split has, so that nothing trained or tuned has ever seen one."""
HELD_OUT_SHARE = 0.5
"""How many things of the test split are of these."""

CURIO = "curio"
"""A category without a look of its own (``curios.py``). It is drawn only where it is asked for."""

ALL_CATEGORIES: tuple[str, ...] = tuple(name for name in KINDS if name != CURIO)
CATEGORIES: tuple[str, ...] = tuple(name for name in ALL_CATEGORIES if name not in HELD_OUT)
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(KINDS[name].group for name in ALL_CATEGORIES))


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: two pictures show the same thing exactly when all these are equal.

    ``form`` and ``part`` index into the category's ``Kind``; ``mark`` seeds the places of patches and
    the signs on labels.
    """

    category: str
    base: str
    accent: str
    detail: str
    pattern: str
    finish: str
    form: int
    part: int
    extra: str
    mark: int


def identity_seed(thing: Thing) -> int:
    """A stable 64-bit number of the thing, the same in every process."""
    digest = hashlib.sha1(repr(astuple(thing)).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big")


def split_of(thing: Thing) -> Split:
    """The split that owns the thing: of ten, two are ``test``, one is ``dev``; held-out categories are all ``test``."""
    if thing.category in HELD_OUT:
        return "test"
    tenth = identity_seed(thing) % 10
    return "test" if tenth < 2 else "dev" if tenth == 2 else "train"


def sample_thing(rng: np.random.Generator, *, split: Split, category: str | None = None) -> Thing:
    """A thing of the split, of ``category`` where one is named; only ``test`` has the held-out categories."""
    if category in HELD_OUT and split != "test":
        raise ValueError(f"{category} is held out: there is none in {split}.")
    if category is None:
        names = HELD_OUT if split == "test" and rng.random() < HELD_OUT_SHARE else CATEGORIES
        category = _pick(rng, names)
    while True:
        thing = _any_thing(rng, category)
        if split_of(thing) == split:
            return thing


def _any_thing(rng: np.random.Generator, category: str) -> Thing:
    alive = KINDS[category].alive
    names = FUR if alive and rng.random() < 0.7 else tuple(COLOURS)
    base = _pick(rng, names)
    accent = _pick(rng, tuple(name for name in names if name != base))
    detail = _pick(rng, tuple(name for name in COLOURS if name != base))
    finish = _pick(rng, ("furry", "furry", "matte", "woven") if alive else FINISHES)
    return Thing(
        category=category,
        base=base,
        accent=accent,
        detail=detail,
        pattern="plain" if rng.random() < 0.2 else _pick(rng, PATTERNS),
        finish=finish,
        form=int(rng.integers(4)),
        part=int(rng.integers(4)),
        extra=_pick(rng, WORN if alive else EMBLEMS),
        mark=int(rng.integers(MARKS)),
    )


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
