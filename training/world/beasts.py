"""How more of the animals look: one function a category, in unit coordinates."""

from __future__ import annotations

import numpy as np

from training.world.canvas import Canvas, Pixels, Point
from training.world.creatures import eyes, worn
from training.world.marks import DARK, Shape, colours, mixed
from training.world.things import COLOURS, Rgb, Thing


def _around(x: float, y: float, r: float, points: list[Point]) -> list[Point]:
    """The points, given from (x, y) in units of ``r``."""
    return [(x + r * dx, y + r * dy) for dx, dy in points]


def _pale(t: Thing) -> Rgb:
    return COLOURS["beige" if t.base == "white" else "white"]


def fox(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    rx, ry, r, leg = (
        (0.27, 0.12, 0.13, 0.045),
        (0.25, 0.19, 0.16, 0.085),
        (0.2, 0.14, 0.21, 0.06),
        (0.24, 0.2, 0.17, 0.06),
    )[t.form]
    tail = (0.15, 0.085, 0.055, 0.055)[t.part]
    c.ellipse(0.86, 0.44, tail * 0.9, 0.27 if t.part == 0 else 0.22, base, angle=24)
    if t.part == 1:
        c.ellipse(0.92, 0.29, 0.085, 0.11, _pale(t), angle=24)
    for i, x in enumerate((0.5 - rx * 0.5, 0.62 - rx * 0.5, 0.5 + rx * 0.7, 0.62 + rx * 0.7)):
        c.box(x - leg, 0.64, x + leg, 0.97, mixed(base, DARK) if i % 2 else base, corner=0.02)
        c.box(x - leg, 0.86, x + leg, 0.97, DARK if t.mark % 2 else accent, corner=0.02)
    if t.form == 3:
        for i in range(7):
            x = 0.3 + 0.08 * i
            c.polygon([(x - 0.07, 0.66), (x + 0.07, 0.66), (x - 0.01, 0.89)], base)
    c.ellipse(0.56, 0.74 - ry * 0.7, rx, ry, body)
    c.polygon([(0.3, 0.42), (0.52, 0.4), (0.62, 0.6), (0.36, 0.72)], body)
    c.ellipse(0.37, 0.64, 0.08, 0.13, accent, angle=-15)
    _fox_head(c, t, body, r)
    worn(c, t, 0.4, 0.36, 0.4 + r, r)


def _fox_head(c: Canvas, t: Thing, body: Pixels, r: float) -> None:
    base, accent, _ = colours(t)
    rise, wide = (0.24, 0.13) if t.part == 2 else (0.12, 0.075)
    for x in (0.38 + r * 0.65, 0.38 - r * 0.35):
        c.polygon([(x - wide, 0.38 - r * 0.5), (x + 0.02, 0.38 - r * 0.6 - rise), (x + wide, 0.38 - r * 0.4)], base)
        c.polygon(
            [(x - wide / 2, 0.38 - r * 0.5), (x + 0.02, 0.41 - r * 0.6 - rise), (x + wide / 2, 0.38 - r * 0.5)],
            DARK if t.mark % 4 < 2 else accent,
        )
    tip = 0.03 if t.part == 3 else 0.31 - r
    c.polygon([(0.38, 0.4 - r * 0.6), (tip, 0.42), (tip, 0.47), (0.4, 0.37 + r)], base)
    c.ellipse(0.38, 0.38, r, r * 0.9, body)
    c.polygon([(0.44, 0.45), (tip, 0.44), (tip, 0.48), (0.38, 0.39 + r)], COLOURS["white"])
    c.ellipse(tip, 0.43, 0.035, 0.03, DARK)
    c.ellipse(0.36 - r * 0.2, 0.35, r * 0.15, r * 0.18, DARK)


def mouse(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    rx, ry, r = ((0.17, 0.25, 0.15), (0.3, 0.24, 0.17), (0.19, 0.17, 0.22), (0.33, 0.17, 0.15))[t.form]
    x, y, hx, hy = 0.53, 0.95 - ry, 0.53 - rx * 0.55, 0.97 - 2 * ry - r * 0.55
    rump = x + rx * 0.9
    if t.part == 2:
        turns = [(0.35 * i, 0.03 + 0.005 * i) for i in range(20)]
        coil = [(rump + 0.02 + q * np.cos(a), 0.6 - q * np.sin(a)) for a, q in turns]
        c.stroke([*coil, (rump + 0.06, 0.86), (x, 0.9)], 0.04, accent)
    else:
        c.stroke([(x, 0.92), (rump + 0.04, 0.92), (rump + 0.12, 0.86)], 0.035, accent)
    c.ellipse(x, y, rx, ry, body)
    c.ellipse((x + hx) / 2, (y + hy) / 2, r * 0.75, 0.15, body)
    c.ellipse(x - rx * 0.6, y + ry * 0.2, rx * 0.35, ry * 0.6, COLOURS["white"] if t.mark % 2 else accent, angle=15)
    c.ellipse(x - rx * 0.25, 0.94, 0.13, 0.04, COLOURS["pink"])
    c.stroke([(x - rx * 0.4, y - ry * 0.2), (x - rx * 0.95, y - ry * 0.1)], 0.06, base)
    ear = (0.11, 0.2, 0.065, 0.065)[t.part]
    for dx in (0.75, -0.1):
        c.ellipse(hx + r * dx, hy - r * 0.6 - ear * 0.5, ear, ear, base)
        c.ellipse(hx + r * dx, hy - r * 0.6 - ear * 0.5, ear * 0.65, ear * 0.65, COLOURS["pink"])
    if t.part == 3:
        c.box(hx - r * 1.2, hy + r * 0.45, hx - r * 0.75, hy + r * 1.2, COLOURS["white"])
        c.stroke([(hx - r * 0.97, hy + r * 0.5), (hx - r * 0.97, hy + r * 1.2)], 0.015, DARK)
    c.polygon(
        [(hx, hy - r * 0.8), (hx - r * 1.6, hy + r * 0.3), (hx - r * 1.5, hy + r * 0.5), (hx, hy + r * 0.8)], base
    )
    c.ellipse(hx, hy, r, r * 0.85, body)
    c.ellipse(hx - r * 1.55, hy + r * 0.35, r * 0.22, r * 0.2, COLOURS["pink"] if t.mark % 4 < 2 else DARK)
    c.ellipse(hx - r * 0.4, hy - r * 0.15, r * 0.17, r * 0.19, DARK)
    worn(c, t, hx, hy, hy + r, r)


def pig(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    w, h, r = ((0.18, 0.25, 0.19), (0.33, 0.23, 0.25), (0.2, 0.19, 0.28), (0.33, 0.34, 0.18))[t.form]
    y, head = 0.93 - h, 0.93 - 2 * h - r * 0.35
    if t.part == 0:
        for i in range(3):
            c.loop(0.5 + w + 0.045 * i, 0.7 - 0.07 * i, 0.06, 0.07, 0.035, accent)
    c.ellipse(0.5, y, w, h, body)
    for side in (-1, 1):
        x = 0.5 + side * w * 0.55
        c.box(x - 0.085, 0.74, x + 0.085, 0.97, base if t.part != 3 else COLOURS["white"], corner=0.03)
        if t.part == 3:
            for dx, dy in ((-0.04, 0.8), (0.045, 0.84), (-0.03, 0.91)):
                c.ellipse(x + dx, dy, 0.032, 0.032, DARK)
        else:
            c.box(x - 0.085, 0.91, x + 0.085, 0.97, DARK if t.mark % 2 else accent, corner=0.02)
        if t.part == 2:
            c.polygon(_around(0.5, head, r, [(side * 0.2, -0.6), (side * 1.05, -1.5), (side, 0)]), accent)
        elif t.part != 1:
            c.ellipse(0.5 + side * r * 0.8, head - r * 0.7, r * 0.22, r * 0.3, accent, angle=side * 40)
    c.ellipse(0.5, head, r * 1.05, r * 0.95, body)
    for side in (-1, 1) if t.part == 1 else ():
        hang = [(side * dx, dy) for dx, dy in ((0.3, -1.0), (0.75, -1.15), (1.3, -0.5), (1.15, 0.2), (0.8, -0.4))]
        c.polygon(_around(0.5, head, r, hang), accent)
    snout = mixed(accent, COLOURS["white"]) if t.mark % 4 < 2 else COLOURS["pink"]
    c.ellipse(0.5, head + r * 0.35, r * 0.55, r * 0.4, snout)
    for side in (-1, 1):
        c.ellipse(0.5 + side * r * 0.2, head + r * 0.35, r * 0.11, r * 0.18, DARK)
    eyes(c, 0.5, head - r * 0.25, r)
    worn(c, t, 0.5, head, head + r, r)


def owl(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, _ = colours(t)
    w, h, r = ((0.16, 0.33, 0.15), (0.33, 0.32, 0.25), (0.22, 0.24, 0.27), (0.2, 0.31, 0.16))[t.form]
    low = 0.8 if t.form == 3 else 0.92
    y, head = low - h, low - 2 * h + r * (0.1 if t.form == 2 else 0.55)
    for side in (-1, 1):
        x = 0.5 + side * w * 0.4
        c.stroke([(x, low - 0.1), (x, 0.94)], 0.04, COLOURS["orange"])
        c.polygon([(x - 0.09, 0.97), (x, 0.87), (x + 0.09, 0.97)], COLOURS["orange"])
        if t.part == 1:
            x = 0.5 + side * w * 0.6
            tips = [(x + side * (0.32 - 0.05 * i), y - h * 0.5 + 0.1 * i + q) for i in range(4) for q in (0.0, 0.08)]
            c.polygon([(x, y - h * 0.4), *tips, (x, y + h * 0.5)], accent)
        if t.part == 0:
            c.polygon(_around(0.5, head, r, [(side * 0.15, -0.6), (side, -1.75), (side * 1.05, 0)]), accent)
    c.ellipse(0.5, y, w, h, body)
    if t.part == 2:
        c.ellipse(0.5, y + h * 0.25, w * 0.68, h * 0.62, COLOURS["white"])
        for i in range(4):
            reach = w * (0.45, 0.6, 0.55, 0.35)[i]
            c.stroke([(0.5 - reach, y + h * (0.27 * i - 0.15)), (0.5 + reach, y + h * (0.27 * i - 0.15))], 0.04, DARK)
    for side in (-1, 1) if t.part != 1 else ():
        c.ellipse(0.5 + side * w * 0.92, y + h * 0.15, w * 0.26, h * 0.65, accent, angle=side * 8)
    _owl_face(c, t, body, head, r)
    worn(c, t, 0.5, head, head + r * 0.95, r)


def _owl_face(c: Canvas, t: Thing, body: Pixels, head: float, r: float) -> None:
    _, accent, detail = colours(t)
    c.ellipse(0.5, head, r * 1.1, r * 0.9, body)
    beak = 0.75 if t.part == 3 else 0.25
    for side in (-1, 1):
        c.ellipse(0.5 + side * r * 0.47, head, r * 0.5, r * 0.5, COLOURS["white"] if t.mark % 2 else accent)
        c.ellipse(0.5 + side * r * 0.45, head, r * 0.34, r * 0.34, COLOURS["yellow"] if t.mark % 4 < 2 else detail)
        c.ellipse(0.5 + side * r * 0.43, head, r * 0.2, r * 0.22, DARK)
    points: list[Point] = [(-0.6 * beak, 0.15), (0.6 * beak, 0.15), (0, 0.25 + 1.3 * beak)]
    c.polygon(_around(0.5, head, r, points), COLOURS["orange"])


def horse(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    rx, ry, leg, y, r = (
        (0.28, 0.1, 0.032, 0.56, 0.1),
        (0.3, 0.19, 0.07, 0.6, 0.12),
        (0.22, 0.15, 0.06, 0.7, 0.15),
        (0.22, 0.12, 0.04, 0.47, 0.11),
    )[t.form]
    x, hx, hy = 0.42, 0.5 + rx, y - ry - 0.16
    hoof, top = (_pale(t), 0.85) if t.part == 3 else (DARK, 0.92)
    for i, dx in enumerate((-0.8, -0.5, 0.75, 0.45)):
        foot = x + rx * dx
        c.box(foot - leg, y, foot + leg, 0.97, mixed(base, DARK) if i % 2 else base)
        c.box(foot - leg * 1.3, top, foot + leg * 1.3, 0.97, hoof)
    if t.part == 2:
        rump = (x - rx * 0.8, y - ry * 0.8)
        c.polygon([rump, (x - rx - 0.08, y - ry * 0.6), (0.02, 0.95), (x - rx + 0.02, 0.93)], accent)
    else:
        c.stroke([(x - rx * 0.85, y - ry * 0.4), (x - rx - 0.05, y - 0.04), (x - rx - 0.06, y + 0.08)], 0.055, accent)
    c.ellipse(x, y, rx, ry, body)
    nape, chest, withers = (hx - r, hy - r * 0.5), (x + rx * 0.98, y + ry * 0.1), (x + rx * 0.3, y - ry * 0.5)
    c.polygon([nape, (hx + r * 0.7, hy + r * 0.4), chest, withers], body)
    if t.part < 2:
        _mane(c, nape, withers, accent, long=t.part == 0)
    _horse_head(c, t, body, hx, hy, r)
    if t.mark % 2:
        c.box(x - rx * 0.4, y - ry, x + rx * 0.2, y, detail)
    worn(c, t, hx - r * 0.3, hy, hy + r * 1.2, r * 1.1)


def _mane(c: Canvas, nape: Point, withers: Point, paint: Rgb, *, long: bool) -> None:
    hang: list[Point] = [(-0.05, -0.05), (0.07, -0.05), (0.05, 0.24), (-0.06, 0.18)]
    spike: list[Point] = [(-0.03, 0.04), (-0.1, -0.07), (0.05, -0.02)]
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        x, y = nape[0] + (withers[0] - nape[0]) * share, nape[1] + (withers[1] - nape[1]) * share
        c.polygon(_around(x, y, 1, hang if long else spike), paint)


def _horse_head(c: Canvas, t: Thing, body: Pixels, x: float, y: float, r: float) -> None:
    base, accent, _ = colours(t)
    for dx in (-0.7, -0.2):
        c.polygon(_around(x, y, r, [(dx - 0.3, -0.5), (dx, -1.5), (dx + 0.35, -0.5)]), base)
    c.ellipse(x - r * 0.1, y, r, r * 0.8, body)
    c.polygon(_around(x, y, r, [(-0.2, -0.75), (1.7, 0.5), (1.4, 1.35), (-0.4, 0.75)]), body)
    c.ellipse(x + r * 1.45, y + r * 0.9, r * 0.5, r * 0.48, accent if t.mark % 4 < 2 else COLOURS["white"])
    c.ellipse(x + r * 0.25, y - r * 0.1, r * 0.16, r * 0.2, DARK)


BEASTS: dict[str, Shape] = {"fox": fox, "mouse": mouse, "pig": pig, "owl": owl, "horse": horse}
