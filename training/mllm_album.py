"""The drawn pictures that the tiny MLLM's conversations are about.

A picture stands in a prompt as its place in the album, so that its features are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.prompt import ImagePart, Part
from rap_serve.domain.region import BoxShares, shares_of
from training.world.scene import sample_scene
from training.world.things import Split, Thing, sample_thing
from training.world.views import clean_crop, draw_several, loose_crop

Pixels = NDArray[np.uint8]
SIDE = 96
VIEWS = 3
MOST_SHOWN = 6
COUNT_SHARES = (0.4, 0.2, 0.13, 0.1, 0.09, 0.08)
CLOSE: BoxShares = (0.05, 0.05, 0.95, 0.95)
"""Where a close picture shows its only thing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture, what it shows (places in the album), and where."""

    picture: int
    things: tuple[int, ...]
    boxes: tuple[BoxShares, ...]

    @property
    def middles(self) -> tuple[tuple[float, float], ...]:
        """Shares of width and height, in the order of the things."""
        return tuple(((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """``avatars[i]``: pictures of thing i alone. ``pixels``: RGB, uint8, (n, 96, 96, 3), empty where not drawn."""

    things: tuple[Thing, ...]
    avatars: tuple[tuple[int, ...], ...]
    shown: tuple[Shown, ...]
    pixels: Pixels

    def pick_shown(self, rng: np.random.Generator, *, at_least: int) -> Shown:
        """A picture of so many things or more."""
        while True:
            shown = self.shown[int(rng.integers(len(self.shown)))]
            if len(shown.things) >= at_least:
                return shown


def draw_album(rng: np.random.Generator, *, split: Split, things: int, shown: int) -> Album:
    """Things of one split, ``VIEWS`` avatars of each, and pictures of one to six of them.

    Avatars but the first of each thing are shown as well, as close pictures of one thing.
    """
    pixels = np.empty((things * VIEWS + shown, SIDE, SIDE, 3), np.uint8)
    drawn = [draw_several(sample_thing(rng, split=split), rng, side=SIDE, count=VIEWS) for _ in range(things)]
    for i, each in enumerate(drawn):
        for j, drawing in enumerate(each.drawings):
            crop = loose_crop(drawing, (), rng, side=SIDE) if j else clean_crop(drawing, rng, side=SIDE)
            pixels[i * VIEWS + j] = crop
    pictures = [Shown(i * VIEWS + j, (i,), (CLOSE,)) for i in range(things) for j in range(1, VIEWS)]
    for i in range(shown):
        chosen, boxes, image = _photo(rng, [each.thing for each in drawn])
        pixels[things * VIEWS + i] = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        pictures.append(Shown(things * VIEWS + i, chosen, boxes))
    avatars = tuple(tuple(range(i * VIEWS, (i + 1) * VIEWS)) for i in range(things))
    return Album(tuple(each.thing for each in drawn), avatars, tuple(pictures), pixels)


def blind_album(rng: np.random.Generator, *, things: int) -> Album:
    """Things that were not drawn, one to six somewhere on a picture: for learning words without seeing."""
    chosen = tuple(sample_thing(rng, split="train") for _ in range(things))
    groups = [tuple(int(i) for i in rng.choice(things, 1 + n % MOST_SHOWN, replace=False)) for n in range(things)]
    shown = tuple(Shown(0, group, tuple(any_box(rng) for _ in group)) for group in groups)
    return Album(chosen, ((0,),) * things, shown, np.empty((0, SIDE, SIDE, 3), np.uint8))


def _photo(rng: np.random.Generator, things: Sequence[Thing]) -> tuple[tuple[int, ...], tuple[BoxShares, ...], Pixels]:
    count = 1 + int(rng.choice(MOST_SHOWN, p=COUNT_SHARES))
    chosen = tuple(int(i) for i in rng.choice(len(things), count, replace=False))
    height, width = int(rng.integers(170, 240)), int(rng.integers(170, 260))
    scene = sample_scene(rng, [things[i] for i in chosen], height=height, width=width)
    boxes = [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in scene.boxes_xyxy]
    return chosen, tuple(shares_of(box, width, height) for box in boxes), scene.image


def any_box(rng: np.random.Generator) -> BoxShares:
    """Where something might be, as large as things are in scenes."""
    wide, high = rng.uniform(0.15, 0.6, 2)
    left, top = float(rng.uniform(0, 1 - wide)), float(rng.uniform(0, 1 - high))
    return left, top, left + float(wide), top + float(high)


def picture_part(place: int) -> ImagePart:
    """A picture of the album as a part of a prompt."""
    return ImagePart(str(place).encode(), "album/place")


def place_of(part: Part) -> int:
    """The album place that ``picture_part`` wrote."""
    assert isinstance(part, ImagePart)
    return int(part.data)
