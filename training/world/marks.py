"""What many things share: their colours, and the signs and labels printed on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.world.canvas import Canvas, Pixels
from training.world.things import COLOURS, Rgb, Thing, identity_seed

Shape = Callable[[Canvas, Thing, Pixels], None]
DARK: Rgb = (38, 36, 40)
METAL: Rgb = (170, 174, 180)
GLASS: Rgb = (150, 190, 214)


def colours(thing: Thing) -> tuple[Rgb, Rgb, Rgb]:
    """The base, accent and detail colours."""
    return COLOURS[thing.base], COLOURS[thing.accent], COLOURS[thing.detail]


def mixed(first: Rgb, second: Rgb) -> Rgb:
    """The middle of two colours."""
    return ((first[0] + second[0]) // 2, (first[1] + second[1]) // 2, (first[2] + second[2]) // 2)


def emblem(c: Canvas, thing: Thing, x: float, y: float, r: float) -> None:
    """The printed sign of the thing, about ``2 r`` wide, in its detail colour."""
    paint = COLOURS[thing.detail]
    if thing.extra == "heart":
        c.ellipse(x - r * 0.45, y - r * 0.3, r * 0.5, r * 0.5, paint)
        c.ellipse(x + r * 0.45, y - r * 0.3, r * 0.5, r * 0.5, paint)
        c.polygon([(x - r * 0.9, y - r * 0.1), (x + r * 0.9, y - r * 0.1), (x, y + r)], paint)
    elif thing.extra == "star":
        turn = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2, 0.45 * r, r)
        c.polygon([(x + q * np.cos(a), y + q * np.sin(a)) for a, q in zip(turn, reach, strict=True)], paint)
    elif thing.extra == "smiling face":
        face(c, x, y, r, paint)
    elif thing.extra == "ring":
        c.loop(x, y, r * 0.8, r * 0.8, r * 0.35, paint)
    elif thing.extra == "leaf":
        c.ellipse(x, y, r, r * 0.45, paint, angle=-40)
    elif thing.extra == "label":
        label(c, thing, x - r * 1.1, y - r * 0.9, x + r * 1.1, y + r * 0.9)
    elif thing.extra == "cross":
        c.box(x - r, y - r * 0.3, x + r, y + r * 0.3, paint)
        c.box(x - r * 0.3, y - r, x + r * 0.3, y + r, paint)


def face(c: Canvas, x: float, y: float, r: float, paint: Rgb) -> None:
    """A round face of the colour, with eyes and a mouth that can be seen on it."""
    ink = DARK if sum(paint) > 300 else COLOURS["white"]
    c.ellipse(x, y, r, r, paint)
    for side in (-1, 1):
        c.ellipse(x + side * r * 0.38, y - r * 0.2, r * 0.14, r * 0.2, ink)
    c.stroke([(x - r * 0.5, y + r * 0.3), (x, y + r * 0.55), (x + r * 0.5, y + r * 0.3)], r * 0.16, ink)


def label(c: Canvas, thing: Thing, x0: float, y0: float, x1: float, y1: float) -> None:
    """A panel with a headline of glyph-like strokes and lines of small print; the mark decides them."""
    seed = np.random.default_rng(identity_seed(thing) + 1)
    paint = COLOURS[thing.detail]
    ink = DARK if sum(paint) > 300 else COLOURS["white"]
    w, h = x1 - x0, y1 - y0
    c.box(x0, y0, x1, y1, paint)
    letters = int(seed.integers(3, 7))
    for i in range(letters):
        gx, gw = x0 + w * (0.1 + 0.8 * i / letters), 0.6 * w / letters
        points = [(gx + gw * u, y0 + h * (0.12 + 0.36 * v)) for u, v in seed.random((4, 2)).round()]
        c.stroke(points, h * 0.07, ink)
    for i in range(int(seed.integers(1, 4))):
        end = x0 + w * (0.4 + 0.5 * seed.random())
        c.stroke([(x0 + w * 0.12, y0 + h * (0.62 + 0.12 * i)), (end, y0 + h * (0.62 + 0.12 * i))], h * 0.04, ink)
