"""How furniture looks: one function a category, in unit coordinates."""

from __future__ import annotations

import numpy as np

from training.world.canvas import Canvas, Pixels
from training.world.marks import DARK, Shape, colours, emblem, mixed
from training.world.things import COLOURS, Thing


def chair(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    w, back = ((0.22, 0.04), (0.26, 0.26), (0.34, 0.14), (0.17, 0.1))[t.form]
    for x in (0.5 - w, 0.5 + w - 0.05):
        c.box(x + 0.03, 0.6, x + 0.06, 0.88, mixed(accent, DARK))
        c.box(x, 0.6, x + 0.05, 0.97, accent)
    if t.part == 0:
        for x in np.linspace(0.5 - w, 0.46 + w, 5):
            c.box(x, back, x + 0.045, 0.6, accent)
        c.box(0.5 - w, back, 0.5 + w, back + 0.09, body)
    elif t.part == 2:
        c.ellipse(0.5, back + 0.22, w, 0.22, body)
        c.box(0.45, back + 0.4, 0.55, 0.6, accent)
    else:
        c.box(0.5 - w, back, 0.5 + w, 0.58, body, corner=0.04)
    c.polygon([(0.5 - w, 0.54), (0.5 + w, 0.54), (0.56 + w, 0.68), (0.44 - w, 0.68)], body)
    if t.part == 3:
        for side in (-1, 1):
            c.box(0.5 + side * (w + 0.03) - 0.04, 0.38, 0.5 + side * (w + 0.03) + 0.04, 0.46, detail)
            c.box(0.5 + side * (w + 0.03) - 0.02, 0.44, 0.5 + side * (w + 0.03) + 0.02, 0.62, accent)
    emblem(c, t, 0.5, back + 0.18, w * 0.4)


def bench(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, seat = ((0.47, 0.58), (0.33, 0.58), (0.44, 0.7), (0.42, 0.5))[t.form]
    back = seat - 0.32
    for x in (0.5 - half + 0.04, 0.46 + half - 0.04):
        c.box(x, seat, x + 0.05, 0.95, accent)
    if t.part == 0:
        for y in (back, back + 0.11, back + 0.22):
            c.box(0.5 - half, y, 0.5 + half, y + 0.06, body)
    elif t.part != 3:
        c.box(0.5 - half, back, 0.5 + half, seat - 0.04, body, corner=0.03)
    if t.part != 3:
        for x in (0.5 - half, 0.46 + half):
            c.box(x, back - 0.03, x + 0.04, seat, accent)
    c.box(0.48 - half, seat, 0.52 + half, seat + 0.1, body)
    if t.part == 2:
        for x in (0.46 - half, 0.46 + half):
            c.box(x, seat - 0.16, x + 0.09, seat - 0.11, detail)
            c.box(x + 0.02, seat - 0.12, x + 0.06, seat, detail)
    cushions = t.mark % 3
    for i in range(cushions):
        c.box(0.5 - half + 0.08 + i * 0.3, seat - 0.06, 0.5 - half + 0.3 + i * 0.3, seat, detail, corner=0.02)
    emblem(c, t, 0.5, seat - 0.18 if t.part in (1, 2) else seat + 0.05, 0.08 if t.part in (1, 2) else 0.045)


def table(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, top, foot = ((0.48, 0.36, 0.82), (0.26, 0.26, 0.82), (0.34, 0.36, 0.76), (0.32, 0.06, 0.96))[t.form]
    left, right, edge = 0.5 - half, 0.5 + half, top + (0.16, 0.2, 0.24, 0.2)[t.form]
    legs = mixed(accent, DARK)
    if t.part == 1:
        c.box(0.44, edge, 0.56, foot, accent)
        c.box(0.5 - half * 0.6, foot - 0.05, 0.5 + half * 0.6, foot, accent, corner=0.02)
    elif t.part == 3:
        for side in (-1, 1):
            lean = side * half * 0.85
            c.stroke([(0.5 + lean, edge), (0.5 - lean, foot)], 0.06, accent if side > 0 else legs)
    else:
        for side in (-1, 1):
            if t.part == 0:
                c.box(0.5 + side * half * 0.6 - 0.03, edge, 0.5 + side * half * 0.6 + 0.03, foot - 0.06, legs)
            c.box(0.5 + side * (half - 0.05) - 0.04, edge, 0.5 + side * (half - 0.05) + 0.04, foot, accent)
    if t.part == 2:
        c.box(left + 0.04, edge, right - 0.04, edge + 0.16, accent)
        c.box(left + 0.09, edge + 0.05, right - 0.09, edge + 0.14, body)
        c.ellipse(0.5, edge + 0.09, 0.04, 0.03, detail)
    c.polygon([(left + 0.1, top), (right - 0.1, top), (right, edge - 0.04), (left, edge - 0.04)], body)
    c.box(left, edge - 0.05, right, edge + 0.04, body)
    plates = t.mark % 3
    for i in range(plates):
        x = 0.5 + (i - (plates - 1) / 2) * half * 0.9
        c.ellipse(x, top + 0.08, 0.1, 0.045, detail)
    c.box(left, edge - 0.06, right, edge - 0.03, detail)
    emblem(c, t, 0.5 + (half * 0.45 if plates == 1 else 0), top + 0.08, 0.06)


def sofa(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, back, foot = ((0.48, 0.42, 0.7), (0.3, 0.36, 0.76), (0.36, 0.48, 0.84), (0.36, 0.06, 0.88))[t.form]
    left, right, seat = 0.5 - half, 0.5 + half, foot - (foot - back) * (0.45, 0.5, 0.6, 0.36)[t.form]
    arm = 0.1 if t.part < 2 else 0.06
    for x in (left + 0.05, right - 0.1):
        c.box(x, foot - 0.02, x + 0.05, foot + (0.1, 0.1, 0.02, 0.08)[t.form], mixed(accent, DARK))
    c.box(left + 0.04, back, right - 0.04, foot, body, corner=0.05)
    count = 1 + t.mark % 3
    dx = 2 * (half - arm) / count
    for i in range(count):
        c.box(left + arm + dx * i, seat, left + arm + dx * (i + 1) - 0.01, seat + 0.1, accent, corner=0.03)
    c.box(left + arm, seat + 0.1, right - arm, foot, body)
    for side in (-1, 1):
        x = 0.5 + side * (half - arm / 2)
        if t.part == 0:
            c.box(x - arm / 2, seat, x + arm / 2, foot, body)
            c.ellipse(x, seat - 0.02, 0.11, 0.1, accent)
            c.ellipse(x, seat - 0.02, 0.05, 0.045, detail)
        else:
            c.box(x - arm / 2 - 0.01, seat - 0.07, x + arm / 2 + 0.01, foot, body)
            c.box(x - arm / 2 - 0.02, seat - 0.1, x + arm / 2 + 0.02, seat - 0.04, detail if t.part == 1 else accent)
    if t.part == 2:
        for side in (-1, 1):
            x = 0.5 + side * half * 0.48
            c.box(x - 0.11, seat - 0.16, x + 0.11, seat + 0.04, detail, corner=0.03)
    if t.part == 3:
        for y in (back + 0.07, seat - 0.06):
            for x in np.linspace(0.5 - half * 0.72, 0.5 + half * 0.72, 5):
                c.ellipse(x, y, 0.028, 0.028, detail)
    emblem(c, t, 0.5, (back + seat) / 2, 0.07)


def stool(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    w, seat, foot = ((0.47, 0.3, 0.8), (0.16, 0.22, 0.78), (0.3, 0.4, 0.76), (0.22, 0.04, 0.97))[t.form]
    thick = (0.15, 0.26, 0.23, 0.17)[t.form]
    if t.part == 3:
        c.box(0.46, seat + 0.1, 0.54, foot - 0.03, accent)
        c.ellipse(0.5, foot - 0.03, w * 0.8, 0.05, accent)
        c.ellipse(0.5, (seat + thick + foot) / 2, 0.07, 0.04, detail)
    else:
        for side in (-1, 1) if t.part else (-1, 0, 1):
            x, reach = 0.5 + side * w * 0.7, foot if side else foot - 0.05
            y, paint = seat + 0.1, accent if side else mixed(accent, DARK)
            lean = side * w * 0.25
            c.polygon([(x - 0.04, y), (x + 0.04, y), (x + lean + 0.03, reach), (x + lean - 0.03, reach)], paint)
    if t.part == 2:
        y = foot - (foot - seat - thick) * 0.4
        c.box(0.5 - w * 1.1, y - 0.04, 0.5 + w * 1.1, y + 0.04, detail)
    if t.part == 1:
        c.ellipse(0.5, seat + thick - 0.07, w, 0.14, body)
        c.ellipse(0.5, seat + 0.05, w * 0.95, 0.11, body)
        c.loop(0.5, seat + 0.05, w * 0.95, 0.11, 0.025, detail)
    else:
        c.box(0.5 - w, seat, 0.5 + w, seat + thick, body, corner=0.03)
        c.box(0.49 - w, seat + thick - 0.04, 0.51 + w, seat + thick, detail if t.mark % 2 else accent)
    for i in range(t.mark // 2 % 4):
        c.ellipse(0.5 + w * (0.5 * i - 0.5), seat + thick - 0.02, 0.022, 0.022, detail if t.mark % 2 == 0 else accent)
    emblem(c, t, 0.5, seat + 0.08, 0.07)


def shelf(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    w, top, foot = ((0.28, 0.03, 0.97), (0.46, 0.2, 0.82), (0.18, 0.06, 0.94), (0.46, 0.38, 0.78))[t.form]
    rows = (3, 2, 4, 1)[t.form] + t.mark % 2
    left, right, dy = 0.5 - w, 0.5 + w, (foot - top - 0.06) / rows
    if t.part != 3:
        c.box(left, top, right, foot, body)
    for i in range(rows):
        _row(c, t, body, i, w, top + 0.06 + dy * i, dy)
    if t.part == 1:
        for x in (left + 0.03, 0.51):
            c.box(x, top + 0.08, x + w - 0.04, foot - 0.05, accent)
            c.box(x + 0.03, top + 0.11, x + w - 0.07, foot - 0.08, body)
        for side in (-1, 1):
            c.ellipse(0.5 + side * 0.045, (top + foot) / 2, 0.028, 0.04, detail)
    if t.part == 3:
        for x in (left, right - 0.07):
            c.box(x, top, x + 0.07, foot, body)
    c.box(left - 0.02, top - 0.03, right + 0.02, top + (0.13 if t.part == 3 else 0.05), body if t.part == 3 else accent)
    for x in (left, right - 0.07):
        c.box(x, foot, x + 0.07, foot + 0.03, accent)
    at = 0.05 if t.part == 3 else 0.06 + dy * 0.5
    emblem(c, t, 0.5 - w * 0.45 if t.part == 1 else 0.5, top + at, 0.07)


def bed(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, top, foot = ((0.48, 0.52, 0.82), (0.28, 0.52, 0.88), (0.38, 0.6, 0.84), (0.36, 0.42, 0.97))[t.form]
    left, right, rail = 0.5 - half, 0.5 + half, top + (0.18, 0.22, 0.22, 0.22)[t.form]
    for x in (left, right - 0.07):
        c.box(x, top - 0.08, x + 0.07, foot, accent)
    if t.part == 0:
        c.box(left - 0.02, top - 0.32, left + 0.12, foot, accent, corner=0.03)
        c.box(left + 0.01, top - 0.27, left + 0.09, top, detail)
    elif t.part == 2:
        for x in (left, right - 0.05):
            c.box(x, top - 0.36, x + 0.05, top, accent)
        c.box(left - 0.02, top - 0.4, right + 0.02, top - 0.28, body)
        c.box(left - 0.02, top - 0.3, right + 0.02, top - 0.27, detail)
    elif t.part == 3:
        for x in (left + 0.035, right - 0.035):
            c.box(x - 0.035, top - 0.26, x + 0.035, foot, accent)
            c.ellipse(x, top - 0.29, 0.06, 0.06, detail)
    c.box(left + 0.05, top, right - 0.05, rail - 0.02, COLOURS["white" if t.base != "white" else "beige"])
    for i in range(2 if t.part == 1 else 1):
        c.ellipse(left + 0.17 + 0.17 * i, top - 0.03, 0.11, 0.07, detail)
    start = left + (0.6 if t.part == 1 else 0.45) * half
    c.box(start, top - 0.05, right - 0.05, rail, body, corner=0.02)
    folds = t.mark % 3
    for i in range(folds):
        c.box(start + 0.02 + i * 0.07, top - 0.05, start + 0.05 + i * 0.07, rail, accent)
    c.box(left + 0.04, rail - 0.02, right - 0.04, rail + 0.04, accent)
    emblem(c, t, (start + right) / 2 + 0.02 * folds, top + 0.08, 0.075)


def _row(c: Canvas, t: Thing, body: Pixels, i: int, w: float, y: float, dy: float) -> None:
    base, accent, detail = colours(t)
    left, right = 0.5 - w, 0.5 + w
    if t.part == 0:
        c.box(left + 0.05, y, right - 0.05, y + dy - 0.05, mixed(base, DARK))
        _books(c, t, i, left + 0.06, right - 0.06, y + dy - 0.05, dy - 0.05)
    elif t.part == 2:
        c.box(left + 0.03, y - 0.02, right - 0.03, y + dy - 0.01, accent)
        c.box(left + 0.05, y, right - 0.05, y + dy - 0.03, body)
        for x in (0.5 - w * 0.4, 0.5 + w * 0.4) if w > 0.3 else (0.5,):
            c.box(x - 0.05, y + dy * 0.35, x + 0.05, y + dy * 0.35 + 0.035, detail)
    elif t.part == 3:
        c.box(left, y + dy - 0.06, right, y + dy, body)
        x = 0.5 + w * (0.1 if i % 2 else -0.4)
        c.ellipse(x, y + dy - 0.11, 0.05, 0.055, detail)
        c.box(x + w * 0.3, y + dy - 0.17, x + w * 0.3 + 0.08, y + dy - 0.06, accent)


def _books(c: Canvas, t: Thing, row: int, x0: float, x1: float, y: float, height: float) -> None:
    _, accent, detail = colours(t)
    seed = np.random.default_rng(t.mark * 8 + row)
    x = x0
    while x < x1 - 0.06:
        width, tall = seed.uniform(0.05, 0.085), height * seed.uniform(0.6, 0.95)
        if seed.random() < 0.85:
            c.box(x, y - tall, x + width - 0.008, y, (accent, detail)[int(seed.integers(2))])
        x += width


FURNITURE: dict[str, Shape] = {
    "chair": chair,
    "bench": bench,
    "table": table,
    "sofa": sofa,
    "stool": stool,
    "shelf": shelf,
    "bed": bed,
}
