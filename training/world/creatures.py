"""How the things with a face look: one function a category, in unit coordinates."""

from __future__ import annotations

from training.world.canvas import Canvas, Pixels
from training.world.marks import DARK, GLASS, METAL, Shape, colours, emblem, label, mixed
from training.world.things import COLOURS, Thing


def worn(c: Canvas, t: Thing, x: float, head: float, neck: float, r: float) -> None:
    """What it wears: ``head`` and ``neck`` are heights of the middle of each, ``r`` the head's radius."""
    paint = COLOURS[t.detail]
    if t.extra == "collar":
        c.box(x - r * 0.8, neck - 0.025, x + r * 0.8, neck + 0.025, paint)
        c.ellipse(x, neck + 0.05, 0.03, 0.03, COLOURS["yellow"])
    elif t.extra == "scarf":
        c.box(x - r, neck - 0.05, x + r, neck + 0.05, paint, corner=0.03)
        c.polygon(
            [(x + r * 0.2, neck), (x + r * 0.7, neck), (x + r * 0.8, neck + 0.22), (x + r * 0.3, neck + 0.22)], paint
        )
    elif t.extra == "hat":
        c.box(x - r, head - r * 1.05, x + r, head - r * 0.8, paint)
        c.box(x - r * 0.6, head - r * 1.7, x + r * 0.6, head - r * 0.9, paint)
    elif t.extra == "bow":
        for side in (-1, 1):
            c.polygon([(x, neck), (x + side * r * 0.7, neck - 0.08), (x + side * r * 0.7, neck + 0.08)], paint)
        c.ellipse(x, neck, 0.03, 0.03, mixed(paint, DARK))
    elif t.extra == "glasses":
        for side in (-1, 1):
            c.loop(x + side * r * 0.42, head - r * 0.1, r * 0.34, r * 0.3, r * 0.12, paint)


def eyes(c: Canvas, x: float, y: float, r: float, *, iris: str | None = None) -> None:
    """A pair of eyes on a head of radius ``r``."""
    for side in (-1, 1):
        if iris:
            c.ellipse(x + side * r * 0.42, y, r * 0.2, r * 0.18, COLOURS[iris])
        c.ellipse(x + side * r * 0.42, y, r * (0.09 if iris else 0.13), r * 0.15, DARK)


def dog(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    w, head = ((0.17, 0.2), (0.27, 0.22), (0.18, 0.24), (0.26, 0.25))[t.form]
    c.stroke([(0.5 + w, 0.8), (0.62 + w, 0.66), (0.62 + w, 0.55)], 0.06, base)
    c.ellipse(0.5, 0.74, w, 0.25, body)
    for side in (-1, 1):
        c.ellipse(0.5 + side * w * 0.8, 0.9, 0.1, 0.08, base)
        c.box(0.5 + side * w * 0.42 - 0.05, 0.68, 0.5 + side * w * 0.42 + 0.05, 0.97, body, corner=0.02)
    c.ellipse(0.5, 0.33, head, head * 0.95, body)
    for side in (-1, 1):
        x = 0.5 + side * head * 0.85
        if t.part == 1:
            c.polygon([(x - side * 0.13, 0.24), (x + side * 0.01, 0.02), (x + side * 0.04, 0.3)], accent)
        elif t.part == 2:
            c.ellipse(x, 0.17, 0.09, 0.09, accent)
        else:
            c.ellipse(x + side * 0.03, 0.36, 0.07, 0.24 if t.part == 3 else 0.15, accent, angle=side * -12)
    c.ellipse(0.5, 0.42, head * 0.5, head * 0.42, accent if t.mark % 2 else COLOURS["white"])
    c.ellipse(0.5, 0.37, 0.055, 0.04, DARK)
    c.stroke([(0.5, 0.38), (0.5, 0.45)], 0.014, DARK)
    eyes(c, 0.5, 0.28, head)
    worn(c, t, 0.5, 0.33, 0.57, head)


def cat(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    w, head = ((0.15, 0.19), (0.29, 0.23), (0.17, 0.23), (0.25, 0.25))[t.form]
    c.stroke([(0.5 + w * 0.8, 0.92), (0.68 + w * 0.8, 0.84), (0.64 + w, 0.58), (0.7 + w * 0.7, 0.46)], 0.055, accent)
    c.polygon([(0.5 - w * 0.55, 0.45), (0.5 + w * 0.55, 0.45), (0.5 + w, 0.95), (0.5 - w, 0.95)], body)
    c.ellipse(0.5, 0.8, w * 1.1, 0.17, body)
    rise = (0.0, 0.0, 0.06, -0.06)[t.part]
    wide = 0.14 if t.part == 1 else 0.1
    for side in (-1, 1):
        x = 0.5 + side * head * 0.62
        c.polygon([(x - wide * 0.9, 0.26), (x + side * 0.06, 0.04 + rise), (x + wide * 0.9, 0.3)], body)
        c.polygon([(x - wide * 0.4, 0.24), (x + side * 0.05, 0.1 + rise), (x + wide * 0.4, 0.26)], COLOURS["pink"])
    c.ellipse(0.5, 0.35, head, head * 0.82, body)
    c.ellipse(0.5, 0.43, head * 0.4, head * 0.28, COLOURS["white"] if t.mark % 2 else accent)
    eyes(c, 0.5, 0.33, head, iris=("lime", "yellow", "turquoise", "orange")[t.mark % 4])
    c.polygon([(0.475, 0.4), (0.525, 0.4), (0.5, 0.43)], COLOURS["pink"])
    for side in (-1, 1):
        for dy in (0.0, 0.04):
            c.stroke(
                [(0.5 + side * 0.07, 0.43 + dy), (0.5 + side * head * 1.15, 0.41 + dy * 1.8)], 0.008, COLOURS["white"]
            )
    for side in (-1, 1):
        c.ellipse(0.5 + side * 0.07, 0.94, 0.06, 0.04, base if t.mark % 2 else COLOURS["white"])
    worn(c, t, 0.5, 0.35, 0.55, head)


def bear(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    w = (0.2, 0.29, 0.2, 0.26)[t.form]
    head = (0.19, 0.22, 0.24, 0.2)[t.form]
    ear = 0.11 if t.part == 3 else 0.075
    for side in (-1, 1):
        c.ellipse(0.5 + side * head * 0.8, 0.26 - head * 0.75, ear, ear, body)
        c.ellipse(0.5 + side * head * 0.8, 0.26 - head * 0.75, ear * 0.55, ear * 0.55, accent)
        c.ellipse(0.5 + side * w * 0.85, 0.88, 0.13, 0.11, body)
        c.ellipse(0.5 + side * w * 0.9, 0.9, 0.07, 0.06, COLOURS[t.detail] if t.part == 1 else accent)
        length = 0.22 if t.part == 2 else 0.14
        c.ellipse(0.5 + side * (w + 0.02), 0.52 + length * 0.6, 0.075, length, base, angle=side * -25)
    c.ellipse(0.5, 0.67, w, 0.25, body)
    if t.part == 0:
        c.ellipse(0.5, 0.7, w * 0.62, 0.17, COLOURS["beige"])
    c.ellipse(0.5, 0.28, head, head * 0.92, body)
    c.ellipse(0.5, 0.35, head * 0.48, head * 0.38, accent)
    c.ellipse(0.5, 0.31, 0.045, 0.032, DARK)
    eyes(c, 0.5, 0.24, head)
    worn(c, t, 0.5, 0.28, 0.5, head)


def duck(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    rx, ry = ((0.3, 0.19), (0.34, 0.26), (0.27, 0.21), (0.4, 0.2))[t.form]
    head = 0.2 if t.form == 2 else 0.155
    x = 0.5 - rx * 0.55
    c.polygon([(0.46 + rx * 0.6, 0.6), (0.56 + rx, 0.42), (0.5 + rx, 0.72)], base)
    c.ellipse(0.5, 0.68, rx, ry, body)
    wing = (0.0, 0.12, 0.2, 0.13)[t.part]
    if wing:
        c.ellipse(0.56, 0.66, wing, wing * 0.6, accent, angle=15)
    beak = COLOURS["orange"] if t.mark % 2 else detail
    flat = 0.03 if t.part == 0 else 0.05
    c.polygon(
        [
            (x - head * 0.7, 0.33 - flat),
            (x - head - 0.14, 0.37),
            (x - head - 0.13, 0.37 + flat),
            (x - head * 0.7, 0.33 + flat * 1.8),
        ],
        beak,
    )
    if t.part == 3:
        for dx in (-0.04, 0.02, 0.08):
            c.stroke([(x, 0.3 - head * 0.8), (x + dx, 0.22 - head)], 0.025, accent)
    c.ellipse(x, 0.34, head, head, body if t.mark % 4 < 2 else accent)
    c.ellipse(x - head * 0.3, 0.3, head * 0.24, head * 0.28, COLOURS["white"])
    c.ellipse(x - head * 0.36, 0.3, head * 0.13, head * 0.17, DARK)
    worn(c, t, x, 0.33, 0.34 + head, head)


def robot(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, h, corner = ((0.18, 0.27, 0.01), (0.26, 0.18, 0.02), (0.25, 0.25, 0), (0.24, 0.23, 0.09))[t.form]
    top = 0.6 - h * 0.7
    for side in (-1, 1):
        c.box(
            0.5 + side * w * 0.5 - 0.05,
            0.55 + h * 0.6,
            0.5 + side * w * 0.5 + 0.05,
            0.93,
            METAL if t.mark % 2 else base,
        )
        if t.part == 1:
            c.ellipse(0.5 + side * w * 0.5, 0.9, 0.08, 0.08, DARK)
        else:
            c.box(0.5 + side * w * 0.5 - 0.09, 0.89, 0.5 + side * w * 0.5 + 0.08, 0.97, accent)
        reach = 0.5 + side * (w + 0.1)
        c.stroke([(0.5 + side * w, top + 0.08), (reach, top + 0.14), (reach, top + 0.34)], 0.055, METAL)
        if t.part == 2:
            c.loop(reach, top + 0.39, 0.05, 0.05, 0.025, detail)
        else:
            c.ellipse(reach, top + 0.36, 0.05, 0.05, accent)
    c.box(0.5 - w, top, 0.5 + w, 0.62 + h * 0.7, body, corner=corner)
    head = w * 0.75
    c.box(0.5 - head, top - 0.3, 0.5 + head, top - 0.02, accent if t.mark % 4 < 2 else body, corner=corner)
    if t.part == 0:
        c.stroke([(0.5, top - 0.3), (0.5, top - 0.4)], 0.02, METAL)
        c.ellipse(0.5, top - 0.41, 0.035, 0.035, detail)
    for side in (-1, 1):
        c.ellipse(0.5 + side * head * 0.45, top - 0.19, head * 0.24, head * 0.24, COLOURS["white"])
        c.ellipse(0.5 + side * head * 0.45, top - 0.19, head * 0.12, head * 0.12, DARK)
    c.box(0.5 - head * 0.5, top - 0.1, 0.5 + head * 0.5, top - 0.06, detail)
    if t.part == 3:
        c.box(0.5 - w * 0.65, top + 0.07, 0.5 + w * 0.65, top + 0.25, GLASS)
    elif t.extra == "nothing":
        label(c, t, 0.5 - w * 0.5, top + 0.08, 0.5 + w * 0.5, top + 0.24)
    emblem(c, t, 0.5, top + 0.18, w * 0.4)


def rabbit(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, _ = colours(t)
    w, head = ((0.16, 0.17), (0.28, 0.2), (0.18, 0.22), (0.25, 0.21))[t.form]
    c.ellipse(0.5 + w, 0.86, 0.07, 0.07, COLOURS["white"] if t.mark % 2 else accent)
    c.ellipse(0.5, 0.74, w, 0.23, body)
    for side in (-1, 1):
        c.ellipse(0.5 + side * w * 0.7, 0.93, 0.13, 0.05, base)
        c.ellipse(0.5 + side * w * 0.35, 0.86, 0.05, 0.1, body)
        x = 0.5 + side * head * 0.5
        if t.part == 2:
            c.ellipse(x + side * head * 0.6, 0.5, 0.06, 0.2, accent, angle=side * -14)
        elif t.part == 1 and side > 0:
            c.stroke([(x, 0.3), (x + 0.03, 0.1), (x + 0.17, 0.16)], 0.09, accent)
        else:
            reach = 0.1 if t.part == 3 else 0.2
            c.ellipse(x, 0.34 - reach, 0.06, reach, body, angle=side * 8)
            c.ellipse(x, 0.34 - reach, 0.03, reach * 0.7, COLOURS["pink"], angle=side * 8)
    c.ellipse(0.5, 0.43, head, head * 0.88, body)
    c.ellipse(0.5, 0.5, head * 0.45, head * 0.3, COLOURS["white"] if t.mark % 4 < 2 else accent)
    c.polygon([(0.47, 0.45), (0.53, 0.45), (0.5, 0.48)], COLOURS["pink"])
    c.box(0.48, 0.53, 0.52, 0.57, COLOURS["white"])
    eyes(c, 0.5, 0.39, head)
    worn(c, t, 0.5, 0.43, 0.63, head)


CREATURES: dict[str, Shape] = {"rabbit": rabbit, "dog": dog, "cat": cat, "bear": bear, "duck": duck, "robot": robot}
