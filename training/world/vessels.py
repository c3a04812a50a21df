"""How the things that hold something look: one function a category, in unit coordinates."""

from __future__ import annotations

import numpy as np

from training.world.canvas import Canvas, Pixels
from training.world.marks import DARK, GLASS, METAL, Shape, colours, emblem, label, mixed
from training.world.things import COLOURS, Rgb, Thing


def mug(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, h, taper = ((0.22, 0.36, 0), (0.28, 0.22, 0), (0.27, 0.28, 0.02), (0.26, 0.3, 0.08))[t.form]
    size = (0.15, 0.15, 0.14, 0.09)[t.part]
    for side in (1, -1) if t.part == 2 else (1,):
        x = 0.46 + side * (w + size * 0.3)
        if t.part == 1:
            c.stroke(
                [(x - 0.05, 0.38), (x + side * size, 0.38), (x + side * size, 0.62), (x - 0.05, 0.62)], 0.06, accent
            )
        else:
            c.loop(x, 0.5, size, size, 0.06, accent)
    c.polygon(
        [(0.46 - w, 0.5 - h), (0.46 + w, 0.5 - h), (0.46 + w - taper, 0.5 + h), (0.46 - w + taper, 0.5 + h)], body
    )
    c.ellipse(0.46, 0.5 + h, w - taper, 0.05, body)
    c.ellipse(0.46, 0.5 - h, w, 0.07, base)
    c.ellipse(0.46, 0.5 - h + 0.01, w * 0.87, 0.05, DARK if t.mark % 2 else detail)
    emblem(c, t, 0.46, 0.54, w * 0.5)


def bowl(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    h = (0.36, 0.2, 0.3, 0.27)[t.form]
    flare = (0.3, 0.3, 0.38, 0.16)[t.form]
    top = 0.45
    if t.part == 0:
        c.polygon(
            [(0.36, top + h - 0.03), (0.64, top + h - 0.03), (0.68, top + h + 0.1), (0.32, top + h + 0.1)], accent
        )
    c.polygon(
        [
            (0.06, top),
            (0.94, top),
            (0.86, top + h * 0.55),
            (0.5 + flare, top + h),
            (0.5 - flare, top + h),
            (0.14, top + h * 0.55),
        ],
        body,
    )
    c.ellipse(0.5, top, 0.44, 0.13, accent if t.part == 3 else base)
    c.ellipse(0.5, top + 0.01, 0.39, 0.1, mixed(base, DARK))
    if t.part == 1:
        seed = np.random.default_rng(t.mark)
        for dx, dy in seed.uniform(-1, 1, (16, 2)):
            c.ellipse(0.5 + 0.3 * dx, top + 0.06 * dy - 0.02, 0.07, 0.07, detail if dx > 0 else accent)
    if t.part == 2:
        c.ellipse(0.5, top - 0.06, 0.42, 0.17, accent)
        c.ellipse(0.5, top - 0.25, 0.06, 0.05, detail)
    emblem(c, t, 0.5, top + 0.14 + h * 0.35, h * 0.35)


def teapot(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    rx, ry = ((0.27, 0.25), (0.22, 0.31), (0.3, 0.19), (0.25, 0.27))[t.form]
    reach = 0.2 if t.part == 2 else 0.12
    c.polygon(
        [(0.5 - rx * 0.8, 0.66), (0.5 - rx - reach, 0.36), (0.5 - rx - reach + 0.08, 0.34), (0.5 - rx * 0.7, 0.5)],
        accent,
    )
    if t.part == 0:
        c.loop(0.5, 0.58 - ry, rx * 0.9, 0.26, 0.05, detail)
    else:
        c.loop(0.5 + rx, 0.56, 0.13, 0.15, 0.055, accent)
    if t.form == 3:
        c.polygon([(0.36, 0.3), (0.64, 0.3), (0.5 + rx, 0.84), (0.5 - rx, 0.84)], body)
    c.ellipse(0.5, 0.58, rx, ry, body)
    c.ellipse(0.5, 0.6 - ry, rx * 0.5, 0.06, accent)
    knob = 0.075 if t.part == 3 else 0.04
    c.ellipse(0.5, 0.54 - ry - knob * 0.6, knob, knob, detail)
    emblem(c, t, 0.5, 0.6, rx * 0.45)


def bottle(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, shoulder = ((0.12, 0.34), (0.19, 0.36), (0.17, 0.46), (0.14, 0.3))[t.form]
    neck = 0.045 if t.part == 3 else 0.065
    bottom = 0.97 if t.form in (0, 3) else 0.9
    c.box(0.5 - neck, 0.14, 0.5 + neck, shoulder, base)
    c.polygon(
        [
            (0.5 - neck, shoulder - 0.1),
            (0.5 + neck, shoulder - 0.1),
            (0.5 + w, shoulder + 0.06),
            (0.5 + w, bottom),
            (0.5 - w, bottom),
            (0.5 - w, shoulder + 0.06),
        ],
        body,
    )
    if t.part == 2:
        c.stroke([(0.5, 0.16), (0.5, 0.05), (0.68, 0.05), (0.68, 0.1)], 0.045, detail)
    cap: Rgb = COLOURS["tan"] if t.part == 1 else detail
    c.box(0.5 - neck * 1.3, 0.08, 0.5 + neck * 1.3, 0.17, cap)
    if t.mark % 2:
        label(c, t, 0.5 - w, shoulder + 0.18, 0.5 + w, shoulder + 0.42)
        c.stroke([(0.5 - w, shoulder + 0.18), (0.5 + w, shoulder + 0.18)], 0.02, accent)
    else:
        emblem(c, t, 0.5, shoulder + 0.28, w * 0.75)


def carton(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, h = ((0.17, 0.33), (0.25, 0.3), (0.22, 0.22), (0.19, 0.37))[t.form]
    top, bottom, side = 0.55 - h, 0.55 + h, 0.12
    c.polygon(
        [(0.44 + w, top), (0.44 + w + side, top - 0.05), (0.44 + w + side, bottom - 0.06), (0.44 + w, bottom)],
        mixed(base, DARK),
    )
    c.box(0.44 - w, top, 0.44 + w, bottom, body)
    if t.part == 0:
        c.polygon(
            [
                (0.44 - w, top),
                (0.44 + w, top),
                (0.44 + w * 0.9 + side, top - 0.14),
                (0.44 - w * 0.8 + side * 0.5, top - 0.14),
            ],
            accent,
        )
        c.box(0.44 - w * 0.8 + side * 0.5, top - 0.19, 0.44 + w * 0.9 + side, top - 0.13, base)
    elif t.part == 3:
        c.polygon(
            [(0.44 - w, top), (0.44 + w, top), (0.44 + w + side, top - 0.16), (0.44 - w + side, top - 0.1)], accent
        )
    else:
        c.polygon(
            [(0.44 - w, top), (0.44 + w, top), (0.44 + w + side, top - 0.05), (0.44 - w + side, top - 0.05)], accent
        )
    if t.part == 1:
        c.box(0.4, top - 0.11, 0.52, top - 0.01, detail, corner=0.015)
    _carton_front(c, t, 0.44 - w, top, 0.44 + w, bottom)


def _carton_front(c: Canvas, t: Thing, x0: float, y0: float, x1: float, y1: float) -> None:
    """A printed front: a label high or low, and a picture (round, hill or figure) in the other half."""
    _, accent, detail = colours(t)
    h, x, r = y1 - y0, (x0 + x1) / 2, (x1 - x0) / 2
    high = t.mark % 2 == 0
    label(c, t, x0 + r * 0.15, y0 + h * (0.08 if high else 0.55), x1 - r * 0.15, y0 + h * (0.45 if high else 0.92))
    y = y0 + h * (0.72 if high else 0.28)
    picture = t.mark // 2 % 4
    if picture == 0:
        c.ellipse(x, y, r * 0.6, r * 0.6, accent)
    elif picture == 1:
        c.polygon([(x0, y + r * 0.7), (x - r * 0.3, y - r * 0.5), (x + r * 0.2, y), (x1, y + r * 0.7)], accent)
    elif picture == 2:
        c.box(x0, y - r * 0.25, x1, y + r * 0.25, accent)
    emblem(c, t, x, y, r * 0.5)
    if t.extra == "nothing":
        c.ellipse(x, y, r * 0.3, r * 0.3, detail)


def can(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, _ = colours(t)
    w, h = ((0.16, 0.32), (0.26, 0.26), (0.22, 0.2), (0.19, 0.38))[t.form]
    c.ellipse(0.5, 0.52 + h, w, 0.06, METAL)
    c.box(0.5 - w, 0.52 - h, 0.5 + w, 0.52 + h, body)
    if t.part == 2:
        label(c, t, 0.5 - w, 0.52 - h * 0.6, 0.5 + w, 0.52 + h * 0.6)
    rim = 0.04 if t.part == 1 else 0.02
    c.box(0.5 - w, 0.52 - h, 0.5 + w, 0.52 - h + rim, METAL)
    c.ellipse(0.5, 0.52 - h, w, 0.065, accent if t.part == 3 else METAL)
    c.ellipse(0.5, 0.52 - h, w * 0.85, 0.048, mixed(METAL, DARK) if t.part != 3 else accent)
    if t.part == 0:
        c.loop(0.5, 0.52 - h, 0.06, 0.02, 0.012, COLOURS["white"])
    emblem(c, t, 0.5, 0.56, w * 0.65)


def vase(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    belly = (0.16, 0.3, 0.14, 0.2)[t.form]
    neck = (0.1, 0.05, 0.1, 0.18)[t.part] + (0.06 if t.form == 2 else 0)
    heights = np.linspace(0, 1, 12)
    half = neck + (belly - neck) * np.sin(np.pi * np.clip(heights * (1.1 if t.form != 2 else 0.6), 0, 1)) ** 1.5
    half[0] += 0.03
    points = [
        (0.5 + s * q, 0.08 + 0.84 * v)
        for s, order in ((1, 1), (-1, -1))
        for v, q in list(zip(heights, half, strict=True))[::order]
    ]
    if t.part == 0:
        for side in (-1, 1):
            c.loop(0.5 + side * neck * 1.5, 0.28, 0.09, 0.12, 0.035, accent)
    if t.part == 2:
        c.box(0.38, 0.88, 0.62, 0.96, accent)
    c.polygon(points, body)
    c.ellipse(0.5, 0.085, float(half[0]), 0.035, mixed(base, DARK))
    c.stroke([(0.5 - half[2], 0.24), (0.5 + half[2], 0.24)], 0.025, detail)
    emblem(c, t, 0.5, 0.55, belly * 0.55)


def jug(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    w, top, neck = ((0.17, 0.12, 0.12), (0.29, 0.26, 0.13), (0.24, 0.4, 0.19), (0.27, 0.16, 0.09))[t.form]
    spout = 0.16 if t.part == 3 else 0.09
    if t.part == 1:
        c.stroke([(0.5 + neck, top + 0.08), (0.62 + w, top + 0.08), (0.62 + w, 0.76), (0.5 + w, 0.76)], 0.05, accent)
    else:
        c.loop(0.52 + w, (top + 0.88) / 2, 0.14, 0.24 if t.form != 2 else 0.16, 0.05, accent)
    c.polygon([(0.5 - neck, top), (0.46 - neck - spout, top - 0.02), (0.5 - neck, top + 0.16)], body)
    c.polygon(
        [
            (0.5 - neck, top),
            (0.5 + neck, top),
            (0.5 + neck * 1.05, top + 0.14),
            (0.5 + w, 0.62),
            (0.5 + w * 0.8, 0.94),
            (0.5 - w * 0.8, 0.94),
            (0.5 - w, 0.62),
            (0.5 - neck * 1.05, top + 0.14),
        ],
        body,
    )
    c.box(0.5 - w * 0.85, 0.9, 0.5 + w * 0.85, 0.96, accent)
    if t.part == 2:
        c.ellipse(0.5, top, neck * 1.1, 0.05, detail)
        c.ellipse(0.5, top - 0.06, 0.035, 0.035, accent)
    else:
        c.ellipse(0.5, top, neck, 0.03, DARK)
    emblem(c, t, 0.5, 0.66, w * 0.5)


def bucket(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, h, foot = ((0.24, 0.36, 0.2), (0.32, 0.2, 0.28), (0.4, 0.26, 0.33), (0.34, 0.32, 0.17))[t.form]
    top, low = 0.6 - h, 0.57 + h
    lip = w * 0.2
    if t.part == 0:
        c.loop(0.5, top + 0.02, w, min(0.26, top), 0.03, METAL)
        c.box(0.43, 0.01 + max(0, top - 0.26), 0.57, 0.06 + max(0, top - 0.26), detail)
    for side in (-1, 1) if t.part == 1 else ():
        c.loop(0.5 + side * (w + 0.01), top + 0.14, 0.08, 0.09, 0.045, accent)
    c.polygon([(0.5 - w, top), (0.5 + w, top), (0.5 + foot, low), (0.5 - foot, low)], body)
    c.ellipse(0.5, low, foot, foot * 0.15, body)
    for share in (0.25, 0.8) if t.part == 3 else ():
        half, y = w + (foot - w) * share, top + lip + (low - top - lip) * share
        c.box(0.5 - half - 0.01, y - 0.035, 0.5 + half + 0.01, y + 0.035, accent)
    rim = 0.05 if t.part == 2 else 0.0
    if rim:
        c.ellipse(0.5, top + 0.06, w + rim, lip + 0.03, accent)
        c.ellipse(0.5, top, w + rim, lip + 0.02, accent)
    c.ellipse(0.5, top, w, lip, accent if rim else base)
    c.ellipse(0.5, top + 0.01, w * 0.88, lip * 0.76, (DARK, mixed(base, DARK), detail, GLASS)[t.mark % 4])
    emblem(c, t, 0.5, (top + lip + low) / 2, min(w * 0.45, h * 0.4))


def goblet(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, cup, low, brim = (
        (0.19, 0.52, 0.94, 0.19),
        (0.28, 0.44, 0.74, 0.27),
        (0.29, 0.53, 0.92, 0.16),
        (0.17, 0.5, 0.92, 0.34),
    )[t.form]
    stem = (0.022, 0.1, 0.035, 0.045)[t.part]
    foot = (0.17, 0.22, 0.17, 0.34)[t.part]
    c.polygon([(0.5 - stem, cup - 0.03), (0.5 + stem, cup - 0.03), (0.5 + stem, low), (0.5 - stem, low)], accent)
    if t.part == 2:
        c.ellipse(0.5, (cup + low) / 2, 0.1, 0.075, detail)
    c.polygon([(0.5 - stem, low - 0.1), (0.5 + stem, low - 0.1), (0.5 + foot, low), (0.5 - foot, low)], accent)
    c.ellipse(0.5, low, foot, 0.045, body if t.mark % 2 else accent)
    heights = np.linspace(0, 1, 13)
    if t.form == 2:
        half = w * np.sqrt(1 - ((heights - 0.5) / np.where(heights < 0.5, 0.6, 0.51)) ** 2)
    else:
        half = (brim + (w - brim) * heights) * np.sqrt(1 - np.clip(heights, 0, 0.98) ** (2.0 if t.form == 3 else 4.0))
    left = [(0.5 - float(q), 0.1 + (cup - 0.1) * float(v)) for q, v in zip(half, heights, strict=True)]
    c.polygon([*left, *((1 - x, y) for x, y in left[::-1])], body)
    c.ellipse(0.5, 0.1, brim, 0.055, accent if t.mark % 4 < 2 else base)
    c.ellipse(0.5, 0.105, brim * 0.88, 0.04, detail)
    emblem(c, t, 0.5, 0.1 + (cup - 0.1) * 0.5, min(w, brim) * 0.5)


def pan(c: Canvas, t: Thing, body: Pixels) -> None:
    base, accent, detail = colours(t)
    w, h, lip = ((0.27, 0.46, 0.06), (0.32, 0.13, 0.05), (0.36, 0.24, 0.14), (0.19, 0.22, 0.05))[t.form]
    x = 0.03 + w if t.part == 0 else 0.5
    top = 0.57 - h / 2
    if t.part == 0:
        c.polygon([(x + w * 0.8, top), (0.98, top - 0.1), (0.99, top), (x + w * 0.8, top + 0.1)], accent)
        c.ellipse(0.94, top - 0.04, 0.022, 0.022, DARK)
    for side in (-1, 1) if t.part == 1 else ():
        c.loop(x + side * (w + 0.02), top + h * 0.3, 0.09, 0.06, 0.04, accent)
    if t.part > 1:
        c.box(x + w * 0.8, top + h * 0.2, x + w + 0.1, top + h * 0.2 + 0.07, accent, corner=0.02)
    if t.part == 3:
        c.polygon([(x - w * 0.8, top - 0.02), (x - w - 0.13, top - 0.03), (x - w * 0.95, top + h * 0.6)], base)
    c.polygon([(x - w, top), (x + w, top), (x + w * 0.94, top + h), (x - w * 0.94, top + h)], body)
    c.ellipse(x, top + h, w * 0.94, lip * 0.6, body)
    c.ellipse(x, top, w, lip, METAL if t.mark % 2 else accent)
    c.ellipse(x, top + 0.005, w * 0.9, lip * 0.78, mixed(base, DARK))
    if t.part == 2:
        c.ellipse(x, top - 0.02, w * 1.04, lip + 0.05, accent)
        c.box(x - w * 1.04, top - 0.03, x + w * 1.04, top + 0.01, METAL)
        c.ellipse(x, top - lip - 0.11, 0.06, 0.05, detail)
    elif t.mark % 4 > 1:
        c.ellipse(x, top + 0.01, w * 0.7, lip * 0.5, detail)
    emblem(c, t, x, top + lip * 0.6 + h / 2, min(w * 0.5, h * 0.4))


VESSELS: dict[str, Shape] = {
    "jug": jug,
    "mug": mug,
    "bowl": bowl,
    "teapot": teapot,
    "bottle": bottle,
    "carton": carton,
    "can": can,
    "vase": vase,
    "bucket": bucket,
    "goblet": goblet,
    "pan": pan,
}
