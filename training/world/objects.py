"""How the other things without a face look: one function a category, in unit coordinates."""

from __future__ import annotations

import numpy as np

from training.world.canvas import Canvas, Pixels
from training.world.marks import DARK, GLASS, METAL, Shape, colours, emblem, mixed
from training.world.things import COLOURS, Rgb, Thing, identity_seed

LEAF: tuple[Rgb, ...] = ((40, 120, 50), (88, 150, 60), (30, 92, 60), (130, 160, 70))


def house(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    w, top = ((0.24, 0.36), (0.42, 0.46), (0.18, 0.3), (0.38, 0.56))[t.form]
    if t.part == 3:
        c.box(0.5 + w * 0.4, top - 0.28, 0.5 + w * 0.7, top, detail)
    c.box(0.5 - w, top, 0.5 + w, 0.96, body)
    if t.part == 1:
        c.box(0.47 - w, top - 0.07, 0.53 + w, top + 0.02, accent)
    else:
        c.polygon([(0.45 - w, top), (0.55 + w, top), (0.5, top - (0.28 if t.part != 2 else 0.16))], accent)
    if t.part == 2:
        c.box(0.5 + w * 0.3, top - 0.2, 0.5 + w, 0.96, body)
        c.polygon([(0.48 + w * 0.3, top - 0.2), (0.52 + w, top - 0.2), (0.5 + w * 0.65, 0.02)], accent)
    columns, rows = 2 + t.mark % 3, 1 + t.mark // 3 % 3
    dx, dy = 2 * w / columns, (0.74 - top) / rows
    for i in range(columns * rows):
        x, y = 0.5 - w + dx * (i % columns + 0.25), top + 0.03 + dy * (i // columns + 0.1)
        c.box(x, y, x + dx * 0.5, y + dy * 0.65, GLASS if t.mark % 2 else COLOURS["yellow"])
    door = 0.5 + (t.mark // 9 % 3 - 1) * w * 0.55
    c.box(door - 0.06, 0.78, door + 0.06, 0.96, detail)


def plant(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    seed = np.random.default_rng(identity_seed(t) + 2)
    green = LEAF[t.mark % 4]
    count, reach = ((9, 0.5), (18, 0.34), (12, 0.42), (7, 0.3))[t.form]
    for angle in np.linspace(-1.2, 1.2, count) + seed.normal(0, 0.12, count):
        size = reach * (0.7 + 0.4 * seed.random())
        x, y = 0.5 + size * np.sin(angle) * 0.9, 0.62 - size * np.cos(angle) * (0.6 if t.form == 2 else 1.1)
        if t.part == 3:
            c.stroke([(0.5, 0.62), (x, y)], 0.02, green)
            continue
        shape = (0.14, 0.035) if t.part == 0 else (0.08, 0.06)
        c.stroke([(0.5, 0.64), (x, y)], 0.012, green)
        c.ellipse(x, y, *shape, green, angle=np.degrees(angle) - 90)
        if t.part == 2:
            c.ellipse(x, y, 0.06, 0.06, detail)
            c.ellipse(x, y, 0.025, 0.025, accent)
    if t.part == 3:
        c.ellipse(0.5, 0.48, 0.14, 0.22, green)
    c.polygon([(0.3, 0.62), (0.7, 0.62), (0.64, 0.96), (0.36, 0.96)], body)
    c.box(0.27, 0.58, 0.73, 0.67, accent)
    emblem(c, t, 0.5, 0.8, 0.09)


def backpack(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, top, corner = ((0.26, 0.14, 0.1), (0.36, 0.24, 0.08), (0.32, 0.18, 0.17), (0.24, 0.34, 0.06))[t.form]
    c.loop(0.5, top, 0.09, 0.08, 0.035, accent)
    for side in (-1, 1):
        c.stroke(
            [(0.5 + side * w * 0.9, top + 0.12), (0.5 + side * (w + 0.08), 0.6), (0.5 + side * w * 0.9, 0.85)],
            0.05,
            accent,
        )
    c.box(0.5 - w, top, 0.5 + w, 0.95, body, corner=corner)
    if t.part == 2:
        c.polygon(
            [
                (0.5 - w, top + corner),
                (0.5 - w * 0.7, top),
                (0.5 + w * 0.7, top),
                (0.5 + w, top + corner),
                (0.5 + w * 0.8, 0.52),
                (0.5 - w * 0.8, 0.52),
            ],
            accent,
        )
        c.box(0.45, 0.47, 0.55, 0.57, METAL)
    pockets = (0.62,) if t.part in (0, 2) else (0.66, 0.42) if t.part == 1 else ()
    for y in pockets:
        c.box(0.5 - w * 0.72, y, 0.5 + w * 0.72, y + 0.24, mixed(base, accent), corner=0.04)
        c.stroke([(0.5 - w * 0.6, y + 0.05), (0.5 + w * 0.6, y + 0.05)], 0.018, detail)
    if t.part == 3:
        for side in (-1, 1):
            c.box(0.5 + side * w * 0.7 - 0.03, top, 0.5 + side * w * 0.7 + 0.03, 0.95, detail)
    emblem(c, t, 0.5, 0.74 if t.part in (0, 2) else 0.4, w * 0.32)


def boot(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    top, w = ((0.06, 0.16), (0.4, 0.18), (0.1, 0.12), (0.24, 0.22))[t.form]
    heel = 0.14 if t.part == 2 else 0.05
    c.polygon(
        [
            (0.68 - 2 * w, top),
            (0.68, top),
            (0.72, 0.8),
            (0.66, 0.86),
            (0.1, 0.86),
            (0.06, 0.74),
            (0.2, 0.66),
            (0.66 - 2 * w, 0.58),
        ],
        body,
    )
    c.polygon([(0.06, 0.76), (0.2, 0.67), (0.24, 0.86), (0.08, 0.86)], accent)
    c.box(0.06, 0.84, 0.73, 0.91, detail)
    c.box(0.56, 0.84, 0.73, 0.86 + heel, detail)
    if t.part == 0:
        for y in np.linspace(max(top + 0.08, 0.42), 0.64, 4):
            c.stroke([(0.66 - 2 * w, y), (0.72 - w, y + 0.04)], 0.022, COLOURS["white"])
    if t.part == 1:
        c.box(0.66 - 2 * w, 0.5, 0.7, 0.57, DARK)
        c.box(0.66 - w, 0.48, 0.72 - w, 0.59, COLOURS["yellow"])
    if t.part == 3:
        c.box(0.66 - 2 * w, top, 0.7, top + 0.1, accent)
    emblem(c, t, 0.6, max(top + 0.2, 0.62), 0.07)


def clock(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    rx, ry = ((0.36, 0.36), (0.34, 0.34), (0.4, 0.3), (0.28, 0.4))[t.form]
    if t.part == 0:
        for side in (-1, 1):
            c.ellipse(0.5 + side * 0.2, 0.54 - ry, 0.12, 0.1, accent)
    if t.part == 3:
        c.polygon([(0.3, 0.97), (0.7, 0.97), (0.6, 0.7), (0.4, 0.7)], accent)
    if t.form in (1, 3):
        c.box(0.5 - rx, 0.54 - ry, 0.5 + rx, 0.54 + ry, body, corner=0.03)
    else:
        c.ellipse(0.5, 0.54, rx, ry, body)
    dial = COLOURS["white"] if base != COLOURS["white"] or t.mark % 2 else detail
    c.ellipse(0.5, 0.54, rx * 0.78, ry * 0.78, dial)
    for i in range(12):
        x, y = np.sin(i * np.pi / 6), np.cos(i * np.pi / 6)
        at = 0.66
        if t.part == 1:
            c.stroke([(0.5 + rx * x * at, 0.54 + ry * y * at), (0.5 + rx * x * 0.55, 0.54 + ry * y * 0.55)], 0.02, DARK)
        else:
            c.ellipse(0.5 + rx * x * at, 0.54 + ry * y * at, 0.018, 0.018, DARK if t.part != 2 else accent)
    for turn, reach, width in ((t.mark % 12, 0.35, 0.035), (t.mark * 5 % 12, 0.52, 0.022)):
        a = turn * np.pi / 6
        c.stroke(
            [(0.5, 0.54), (0.5 + rx * reach * np.sin(a), 0.54 - ry * reach * np.cos(a))],
            width,
            detail if dial != detail else DARK,
        )


def lamp(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    w, foot = ((0.2, 0.1), (0.26, 0.3), (0.34, 0.18), (0.15, 0.12))[t.form]
    bottom, x = 0.96 - foot * 0.4, 0.5
    c.ellipse(0.5, bottom, 0.2, 0.045, accent)
    if t.part == 3:
        c.stroke([(0.5, bottom), (0.68, 0.6), (0.42, 0.36)], 0.04, accent)
        x = 0.4
    else:
        c.box(0.475, 0.4, 0.525, bottom, accent)
        c.ellipse(0.5, (0.5 + bottom) / 2, 0.09, 0.1, detail)
    if t.part == 2:
        c.ellipse(x, 0.28, w, 0.22, body)
    else:
        top = w if t.part == 1 else w * 0.5
        c.polygon([(x - top, 0.1), (x + top, 0.1), (x + w, 0.44), (x - w, 0.44)], body)
        c.box(x - w, 0.41, x + w, 0.45, detail)
    emblem(c, t, x, 0.29, w * 0.4)


OBJECTS: dict[str, Shape] = {
    "house": house,
    "plant": plant,
    "backpack": backpack,
    "boot": boot,
    "clock": clock,
    "lamp": lamp,
}
