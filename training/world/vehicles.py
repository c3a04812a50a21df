"""How the things that drive and float look: one function a category, in unit coordinates."""

from __future__ import annotations

from training.world.canvas import Canvas, Pixels
from training.world.marks import DARK, GLASS, METAL, Shape, colours, emblem, mixed
from training.world.things import COLOURS, Rgb, Thing


def car(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    roof, cabin = ((0.36, 0.26), (0.22, 0.3), (0.33, 0.34), (0.28, 0.2))[t.form]
    half = 0.36 if t.form == 3 else 0.46
    back = 0.5 if t.part == 3 else 0.5 + cabin
    c.polygon(
        [(0.5 - cabin, 0.54), (0.58 - cabin, roof), (back - 0.05, roof), (back + 0.06, 0.54)],
        accent if t.mark % 2 else body,
    )
    c.polygon([(0.54 - cabin, 0.52), (0.6 - cabin, roof + 0.05), (0.49, roof + 0.05), (0.49, 0.52)], GLASS)
    if t.part != 3:
        c.polygon([(0.53, 0.52), (0.53, roof + 0.05), (back - 0.07, roof + 0.05), (back, 0.52)], GLASS)
    c.box(0.5 - half, 0.5, 0.5 + half, 0.72, body, corner=0.04)
    if t.part == 1:
        c.box(0.56 - cabin, roof - 0.07, back - 0.04, roof - 0.02, DARK)
    if t.part == 2:
        c.polygon([(0.5 + half - 0.06, 0.5), (0.5 + half + 0.02, 0.36), (0.5 + half + 0.03, 0.5)], detail)
    r = 0.14 if t.part == 0 else 0.1
    for x in (0.5 - half * 0.6, 0.5 + half * 0.6):
        c.ellipse(x, 0.73, r, r, DARK)
        c.ellipse(x, 0.73, r * 0.5, r * 0.5, METAL if t.mark % 4 < 2 else detail)
    c.ellipse(0.53 - half, 0.58, 0.035, 0.04, COLOURS["yellow"])
    emblem(c, t, 0.5, 0.61, 0.075)


def bus(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, roof = ((0.47, 0.34), (0.34, 0.3), (0.44, 0.18), (0.46, 0.44))[t.form]
    if t.part == 1:
        c.box(0.6 - half, roof - 0.07, 0.4 + half, roof, DARK)
    c.box(0.5 - half, roof, 0.5 + half, 0.78, body, corner=0.05)
    c.box(0.5 - half, roof, 0.5 + half, roof + 0.05, accent, corner=0.02)
    count = 3 + t.mark % 4
    dx = 2 * (half - 0.06) / count
    rows = (roof + 0.1,) if t.form != 2 else (roof + 0.08, roof + 0.3)
    for y in rows:
        for i in range(count):
            x = 0.56 - half + dx * i
            c.box(x + dx * 0.1, y, x + dx * 0.9, y + 0.14, GLASS)
    doors = (0.56 - half, 0.45) if t.part == 0 else (0.56 - half,)
    for x in doors:
        c.box(x, roof + 0.1, x + 0.1, 0.76, mixed(detail, GLASS))
    if t.part == 3:
        c.box(0.42 + half, 0.56, 0.52 + half, 0.78, DARK)
    r = 0.13 if t.part == 2 else 0.09
    for x in (0.5 - half * 0.55, 0.5 + half * 0.55):
        c.ellipse(x, 0.8, r, r, DARK)
        c.ellipse(x, 0.8, r * 0.5, r * 0.5, METAL if t.mark % 8 < 4 else detail)
    c.ellipse(0.53 - half, 0.7, 0.03, 0.03, COLOURS["yellow"])
    emblem(c, t, 0.56, 0.66, 0.08)


def truck(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, roof = ((0.48, 0.34), (0.33, 0.3), (0.4, 0.12), (0.46, 0.5))[t.form]
    left, right, cab = 0.5 - half, 0.5 + half, half * (0.5 if t.form == 0 else 0.62)
    split = left + cab
    c.box(left, 0.68, right, 0.78, mixed(accent, DARK))
    c.box(left, roof + 0.03, split - 0.02, 0.76, body if t.part in (1, 3) else accent, corner=0.05)
    c.box(left + 0.04, roof + 0.09, split - 0.07, roof + 0.09 + (0.76 - roof) * 0.3, GLASS)
    _load(c, t, body, split, right, roof)
    for x in (left + cab * 0.5, right - 0.25 * half, *((right - 0.62 * half,) if t.mark % 4 > 1 else ())):
        _wheel(c, x, 0.8, 0.1, METAL if t.mark % 8 < 4 else detail)
    c.ellipse(left + 0.03, 0.68, 0.03, 0.03, COLOURS["yellow"])
    size = 0.05 if t.part in (1, 3) else 0.09
    emblem(c, t, (split + right) / 2, 0.65 if t.part in (1, 3) else (roof + 0.66) / 2, size)


def van(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, roof = ((0.48, 0.36), (0.32, 0.32), (0.38, 0.14), (0.46, 0.51))[t.form]
    left, right, h = 0.5 - half, 0.5 + half if t.part != 3 else min(0.5 + half, 0.86), 0.78 - roof
    if t.part == 0:
        _roof_rack(c, left + 0.3 * half, right - 0.06, roof, detail)
    if t.part == 3:
        _ladder(c, right, roof)
    nose, knee = left + 0.42 * half, roof + 0.5 * h
    c.polygon([(left, knee + 0.05), (nose, roof), (right, roof), (right, 0.78), (left, 0.78)], body)
    c.box(left, 0.7, right, 0.78, accent)
    c.polygon([(left + 0.07, knee), (nose + 0.02, roof + 0.05), (nose + 0.14, roof + 0.05), (nose + 0.14, knee)], GLASS)
    count = 1 + t.mark % 3
    dx = (right - 0.04 - nose - 0.17) / count
    for i in range(count):
        x = nose + 0.17 + dx * i
        c.box(x, roof + 0.05, x + dx * 0.85, knee - 0.02, GLASS)
    if t.part == 1:
        c.box(0.46, roof + 0.04, 0.46 + 0.5 * half, 0.77, detail, corner=0.02)
        c.box(0.49, roof + 0.08, 0.43 + 0.5 * half, knee - 0.02, GLASS)
        c.box(0.49, knee + 0.02, 0.56, knee + 0.05, DARK)
    for x in (left + 0.4 * half, right - 0.4 * half):
        _wheel(c, x, 0.79, 0.15 if t.part == 2 else 0.09, METAL if t.mark % 12 < 6 else detail)
    c.ellipse(left + 0.03, knee + 0.12, 0.03, 0.03, COLOURS["yellow"])
    emblem(c, t, left + 0.72 * half if t.part == 1 else 0.52, knee + (0.7 - knee) * 0.5, 0.075)


def train(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, top = ((0.46, 0.5), (0.3, 0.46), (0.36, 0.3), (0.46, 0.58))[t.form]
    left, right = max(0.5 - half, 0.16) if t.part == 1 else 0.5 - half, 0.5 + half
    if t.part == 2:
        start = 0.5 + 0.25 * half
        c.box(start - 0.06, 0.72, right, 0.76, DARK)
        c.box(start + 0.02, top + 0.02, right + 0.02, 0.76, body)
        c.box(start, top - 0.02, right + 0.04, top + 0.04, detail)
        right = start - 0.04
    cab, roof = right - 0.36 * (right - left), top - 0.22
    _on_boiler(c, t, left, (left + cab) / 2 - 0.02, top)
    c.box(left, top, cab + 0.02, 0.72, body, corner=0.04)
    c.box(left - 0.01, top + 0.02, left + 0.04, 0.7, accent)
    c.box(cab, roof, right, 0.76, body)
    c.box(cab - 0.03, roof - 0.05, right + 0.03, roof + 0.02, accent)
    c.box(cab + 0.04, roof + 0.07, right - 0.04, roof + 0.21, GLASS)
    c.box(left, 0.7, right, 0.77, detail)
    if t.part == 1:
        c.polygon([(left + 0.06, 0.68), (left + 0.06, 0.92), (left - 0.14, 0.92)], detail)
        for i in range(3):
            c.stroke([(left + 0.04, 0.7), (left + 0.02 - 0.055 * i, 0.91)], 0.016, DARK)
    count, r = (3 + t.mark % 3, 0.08) if t.form != 1 else (2 + t.mark % 2, 0.09)
    end = 0.5 + half
    for i in range(count):
        _wheel(c, left + 0.1 + (end - left - 0.18) * i / (count - 1), 0.84, r, METAL if t.mark % 2 else accent)
    emblem(c, t, (left + cab) / 2 + 0.02, (top + 0.7) / 2, 0.08)


def tractor(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    front, top = ((0.06, 0.4), (0.3, 0.52), (0.3, 0.34), (0.06, 0.54))[t.form]
    big, small = ((0.26, 0.15), (0.15, 0.11), (0.21, 0.12), (0.18, 0.1))[t.form]
    front = max(front, 0.26) if t.part == 2 else front
    back, hub = 0.94 - big, METAL if t.mark % 2 else detail
    seat = back - 0.12
    if t.part == 1:
        c.stroke([(front + 0.2, top + 0.03), (front + 0.2, top - 0.3), (front + 0.1, top - 0.34)], 0.055, DARK)
    if t.part == 0:
        c.box(seat, top - 0.24, back + 0.16, top + 0.1, body)
        c.box(seat + 0.04, top - 0.19, back + 0.12, top, GLASS)
        c.box(seat - 0.04, top - 0.29, back + 0.2, top - 0.22, accent)
    else:
        _seat(c, back, top, detail)
    c.box(front, top, seat + 0.06, 0.76, body, corner=0.04)
    c.box(seat, top + 0.04, back + 0.18, 0.78, body)
    for i in range(2 + t.mark // 2 % 3):
        c.box(front + 0.025, top + 0.06 + i * 0.05, front + 0.1, top + 0.085 + i * 0.05, accent)
    c.box(front, 0.72, back, 0.79, accent)
    if t.part == 2:
        c.stroke([(seat, top + 0.12), (front + 0.06, top + 0.02), (front - 0.06, 0.78)], 0.045, detail)
        c.polygon([(front - 0.24, 0.66), (front - 0.02, 0.74), (front - 0.02, 0.95), (front - 0.26, 0.95)], detail)
    if t.part == 3:
        c.ellipse(back, 0.94 - big, big + 0.07, big + 0.07, detail)
        c.ellipse(front + small, 0.94 - small, small + 0.06, small + 0.06, detail)
    _wheel(c, back, 0.94 - big, big, hub)
    _wheel(c, front + small, 0.94 - small, small, hub)
    emblem(c, t, (front + seat) / 2 + 0.05, top + 0.13, 0.075)


def boat(c: Canvas, t: Thing, body: Pixels) -> None:
    _, accent, detail = colours(t)
    half, deck, keel = ((0.48, 0.62, 0.84), (0.32, 0.64, 0.86), (0.3, 0.46, 0.96), (0.48, 0.7, 0.84))[t.form]
    rise = (0.5, 0.48, 0.4, 0.3)[t.form]
    _above_deck(c, t, body, half, deck, rise)
    bow = 0.5 - half
    c.polygon([(bow, deck - 0.04), (0.5 + half, deck), (0.5 + half * 0.82, keel), (0.5 - half * 0.6, keel)], body)
    c.polygon(
        [(bow, deck - 0.06), (0.51 + half, deck - 0.02), (0.5 + half, deck + 0.04), (bow + 0.04, deck + 0.03)], accent
    )
    if t.mark % 4 > 1:
        c.box(0.5 - half * 0.64, keel - 0.05, 0.5 + half * 0.84, keel + 0.02, detail)
    if t.part == 3:
        count = 3 + t.mark % 2
        for i in range(count):
            x, y = 0.5 + half * (1.15 * i / (count - 1) - 0.5), (deck + keel) / 2
            c.ellipse(x, y, 0.065, 0.065, detail)
            c.ellipse(x, y, 0.038, 0.038, GLASS)
    x, y = (0.53 + half * 0.3, deck - rise * 0.32) if t.part == 0 else (0.52, (deck + keel) / 2 + 0.01)
    emblem(c, t, x, y - 0.17 if t.part == 3 else y, 0.065)


def _wheel(c: Canvas, x: float, y: float, r: float, hub: Rgb) -> None:
    c.ellipse(x, y, r, r, DARK)
    c.ellipse(x, y, r * 0.5, r * 0.5, hub)


def _load(c: Canvas, t: Thing, body: Pixels, split: float, right: float, roof: float) -> None:
    _, accent, detail = colours(t)
    if t.part == 0:
        c.box(split, roof - 0.06, right, 0.73, body)
        c.box(split, roof - 0.06, right, roof - 0.01, detail)
    elif t.part == 1:
        c.box(split + 0.01, 0.56, right, 0.73, body)
        for i in range(3 + t.mark % 2):
            x = split + 0.02 + i * (right - split - 0.06) / (2 + t.mark % 2)
            c.box(x, 0.52, x + 0.04, 0.73, accent)
    elif t.part == 2:
        y, rx, ry = (roof + 0.71) / 2, (right - split) / 2, (0.71 - roof) / 2 + 0.02
        c.box(split, y - ry, right, y + ry, body, corner=min(rx, ry) * 0.6)
        for x in (split + rx * 0.5, right - rx * 0.5):
            c.box(x - 0.02, y - ry, x + 0.02, y + ry, detail)
    else:
        c.box(split, 0.6, right, 0.73, body)
        x = (split + right) / 2 + 0.1
        tip = split - 0.2
        c.box(x - 0.07, 0.46, x + 0.07, 0.62, accent)
        c.stroke([(x, 0.5), (tip, roof - 0.16)], 0.06, detail)
        c.stroke([(tip, roof - 0.16), (tip, roof - 0.02), (tip + 0.05, roof - 0.02)], 0.02, DARK)


def _roof_rack(c: Canvas, left: float, right: float, roof: float, paint: Rgb) -> None:
    c.box(left, roof - 0.09, right, roof - 0.06, DARK)
    for i in range(4):
        x = left + 0.02 + i * (right - left - 0.07) / 3
        c.box(x, roof - 0.09, x + 0.03, roof + 0.01, DARK)
    c.box(left + 0.1, roof - 0.17, right - 0.06, roof - 0.09, paint)


def _ladder(c: Canvas, x: float, roof: float) -> None:
    c.stroke([(x - 0.06, roof), (x + 0.03, roof - 0.04), (x + 0.12, roof - 0.04)], 0.025, DARK)
    for rail in (x + 0.03, x + 0.12):
        c.stroke([(rail, roof - 0.04), (rail, 0.76)], 0.025, DARK)
    for i in range(6):
        y = roof + 0.02 + (0.78 - roof) * i / 6
        c.stroke([(x + 0.03, y), (x + 0.12, y)], 0.025, DARK)


def _on_boiler(c: Canvas, t: Thing, left: float, x: float, top: float) -> None:
    _, accent, detail = colours(t)
    if t.part == 0:
        c.box(left + 0.07, top - 0.2, left + 0.15, top + 0.04, accent)
        _trapezoid(c, left + 0.11, top - 0.3, top - 0.16, 0.11, 0.05, detail)
    elif t.part == 3:
        frame = [(x - 0.12, top + 0.02), (x - 0.12, top - 0.22), (x + 0.12, top - 0.22), (x + 0.12, top + 0.02)]
        c.stroke(frame, 0.03, DARK)
        _trapezoid(c, x, top - 0.2, top - 0.04, 0.04, 0.09, COLOURS["yellow"])
        c.ellipse(x, top - 0.02, 0.03, 0.03, DARK)
    else:
        c.box(left + 0.08, top - 0.06, left + 0.16, top + 0.04, accent)


def _above_deck(c: Canvas, t: Thing, body: Pixels, half: float, deck: float, rise: float) -> None:
    _, accent, detail = colours(t)
    if t.part == 0:
        c.box(0.48, deck - rise - 0.06, 0.52, deck + 0.02, DARK)
        c.polygon([(0.53, deck - rise), (0.53, deck - 0.06), (0.5 + half * 0.9, deck - 0.06)], body)
        c.polygon([(0.47, deck - rise * 0.85), (0.47, deck - 0.06), (0.5 - half * 0.75, deck - 0.06)], detail)
    elif t.part == 1:
        c.box(0.5 - half * 0.35, deck - rise * 0.6, 0.5 + half * 0.6, deck + 0.02, accent)
        c.box(0.47 - half * 0.35, deck - rise * 0.72, 0.53 + half * 0.6, deck - rise * 0.58, detail)
        for i in range(2 + t.mark % 2):
            x = 0.53 - half * 0.35 + i * half * 0.9 / (2 + t.mark % 2)
            c.box(x, deck - rise * 0.48, x + half * 0.24, deck - rise * 0.16, GLASS)
    elif t.part == 2:
        c.box(0.5 - half * 0.5, deck - 0.1, 0.5 + half * 0.5, deck + 0.02, accent)
        for x in (0.48,) if t.form != 0 else (0.38, 0.6):
            _trapezoid(c, x + 0.02, deck - rise * 0.85, deck - 0.08, 0.06, 0.08, detail)
            c.box(x - 0.045, deck - rise * 0.95, x + 0.11, deck - rise * 0.75, DARK)
    else:
        c.box(0.5 - half * 0.1, deck - 0.12, 0.5 + half * 0.5, deck + 0.02, accent)


def _seat(c: Canvas, x: float, top: float, paint: Rgb) -> None:
    c.stroke([(x - 0.15, top + 0.02), (x - 0.09, top - 0.1)], 0.03, DARK)
    c.stroke([(x - 0.14, top - 0.13), (x - 0.04, top - 0.07)], 0.03, DARK)
    c.stroke([(x, top + 0.03), (x + 0.14, top + 0.03), (x + 0.17, top - 0.12)], 0.06, paint)


def _trapezoid(c: Canvas, x: float, y0: float, y1: float, top: float, bottom: float, paint: Rgb) -> None:
    c.polygon([(x - top, y0), (x + top, y0), (x + bottom, y1), (x - bottom, y1)], paint)


VEHICLES: dict[str, Shape] = {
    "car": car,
    "bus": bus,
    "truck": truck,
    "van": van,
    "train": train,
    "tractor": tractor,
    "boat": boat,
}
