"""Curios: things of no category anybody has a word for. Their shape is drawn from the identity itself.

A dozen known categories teach an embedder to tell apart these categories' things; thousands of shapes that are
met once each teach it what makes any two things differ.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from training.world.canvas import Canvas, Paint, Pixels
from training.world.marks import DARK, GLASS, METAL, Shape, colours, emblem, mixed
from training.world.things import COLOURS, PATTERNS, Rgb, Thing

Rng = np.random.Generator


def curio(c: Canvas, t: Thing, body: Pixels) -> None:
    """Blobs by the form (a stack, a row, one, a frame), additions by the part (legs, handles, a top, windows)."""
    rng = np.random.default_rng([t.mark, t.form, PATTERNS.index(t.pattern)])
    trim = np.random.default_rng([t.mark, t.part, PATTERNS.index(t.pattern), 1])
    blobs = _blobs(rng, t.form)
    left, right = min(x - w for x, _, w, _ in blobs), max(x + w for x, _, w, _ in blobs)
    top, bottom = min(y - h for _, y, _, h in blobs), max(y + h for _, y, _, h in blobs)
    _base, accent, detail = colours(t)
    paints: tuple[Rgb, ...] = (accent, detail, mixed(accent, detail), METAL, DARK)
    if t.part == 0:
        _legs(c, trim, left, right, bottom, paints)
    if t.part == 1:
        _handles(c, trim, left, right, (top + bottom) / 2, paints)
    if t.part == 2:
        _top(c, trim, (left + right) / 2, top, paints)
    for number, blob in enumerate(blobs):
        _blob(c, rng, blob, body if number == 0 or rng.random() < 0.6 else accent)
    if t.form == 3:
        x, y, w, h = blobs[0]
        _blob(c, rng, (x, y, w * 0.5, h * 0.5), mixed(accent, DARK))
    if t.part == 3:
        _windows(c, trim, blobs[0], paints)
    x, y, w, h = max(blobs, key=lambda blob: blob[2] * blob[3])
    emblem(c, t, x, y, 0.38 * min(w, h) + 0.02)


Blob = tuple[float, float, float, float]
"""Middle and half sizes: x, y, w, h."""


def _blobs(rng: Rng, form: int) -> list[Blob]:
    if form in (0, 1):
        count = int(rng.integers(2, 4))
        cuts = np.sort(rng.uniform(0.25, 0.75, count - 1))
        ends = np.concatenate([[0.1], 0.1 + 0.8 * cuts, [0.9]])
        across = [float(rng.uniform(0.12, 0.36)) for _ in range(count)]
        spans = [((a + b) / 2, (b - a) / 2 + 0.04) for a, b in pairwise(ends)]
        shift = [float(rng.normal(0, 0.05)) for _ in range(count)]
        if form == 0:
            return [(0.5 + s, m, w, h) for (m, h), w, s in zip(spans, across, shift, strict=True)]
        return [(m, 0.5 + s, w, h) for (m, w), h, s in zip(spans, across, shift, strict=True)]
    w, h = rng.uniform(0.2, 0.4, 2)
    return [(0.5, 0.5, float(w), float(h))]


def _blob(c: Canvas, rng: Rng, blob: Blob, paint: Paint) -> None:
    """An ellipse, a box, a wedge or an uneven polygon that fills the place."""
    x, y, w, h = blob
    kind = rng.integers(5)
    if kind == 0:
        c.ellipse(x, y, w, h, paint)
    elif kind == 1:
        c.box(x - w, y - h, x + w, y + h, paint, corner=float(rng.uniform(0, 0.4)) * min(w, h))
    elif kind == 2:
        a, b = rng.uniform(0.3, 1.0, 2)
        c.polygon([(x - w * a, y - h), (x + w * a, y - h), (x + w * b, y + h), (x - w * b, y + h)], paint)
    else:
        corners = int(rng.integers(3, 9))
        turn = np.arange(corners) * 2 * np.pi / corners + rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.65, 1.15, corners)
        c.polygon([(x + w * r * np.cos(a), y + h * r * np.sin(a)) for a, r in zip(turn, reach, strict=True)], paint)


def _legs(c: Canvas, rng: Rng, left: float, right: float, bottom: float, paints: tuple[Rgb, ...]) -> None:
    count, length = int(rng.integers(1, 5)), float(rng.uniform(0.06, 0.22))
    paint, width, wheels = _any(rng, paints), float(rng.uniform(0.03, 0.09)), rng.random() < 0.4
    for x in np.linspace(left + 0.08, right - 0.08, count) if count > 1 else ((left + right) / 2,):
        if wheels:
            c.ellipse(x, bottom, length * 0.6, length * 0.6, paint)
            c.ellipse(x, bottom, length * 0.25, length * 0.25, METAL)
        else:
            c.box(x - width / 2, bottom - 0.08, x + width / 2, bottom + length, paint)


def _handles(c: Canvas, rng: Rng, left: float, right: float, middle: float, paints: tuple[Rgb, ...]) -> None:
    kind, size, y = rng.integers(3), float(rng.uniform(0.06, 0.16)), middle + float(rng.uniform(-0.15, 0.15))
    paint = _any(rng, paints)
    for side, x in ((-1, left), (1, right))[: 1 + int(rng.integers(2))]:
        if kind == 0:
            c.loop(x, y, size, size * float(rng.uniform(0.6, 1.4)), 0.045, paint)
        elif kind == 1:
            c.ellipse(x, y, size * 0.7, size * 1.3, paint, angle=side * float(rng.uniform(-40, 40)))
        else:
            c.stroke([(x, y), (x + side * size, y - size), (x + side * size * 1.3, y + size * 0.5)], 0.05, paint)


def _top(c: Canvas, rng: Rng, middle: float, top: float, paints: tuple[Rgb, ...]) -> None:
    kind, size, paint = rng.integers(4), float(rng.uniform(0.06, 0.16)), _any(rng, paints)
    for x in (middle,) if rng.random() < 0.5 else (middle - 0.12, middle + 0.12):
        if kind == 0:
            c.stroke([(x, top + 0.08), (x, top - size)], 0.03, paint)
            c.ellipse(x, top - size, 0.04, 0.04, paint)
        elif kind == 1:
            c.polygon([(x - size * 0.7, top + 0.05), (x + size * 0.7, top + 0.05), (x, top - size)], paint)
        elif kind == 2:
            c.ellipse(x, top, size * 0.6, size, paint)
        else:
            c.box(x - size * 0.4, top - size, x + size * 0.4, top + 0.08, paint)


def _windows(c: Canvas, rng: Rng, blob: Blob, paints: tuple[Rgb, ...]) -> None:
    x, y, w, h = blob
    paint = _any(rng, (*paints, GLASS, COLOURS["yellow"], COLOURS["white"]))
    columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    size, round_ = 0.6 * min(w / columns, h / rows), rng.random() < 0.5
    for i in range(columns * rows):
        px = x + 0.7 * w * (2 * (i % columns) + 1 - columns) / columns
        py = y + 0.7 * h * (2 * (i // columns) + 1 - rows) / rows
        if round_:
            c.ellipse(px, py, size, size, paint)
        else:
            c.box(px - size, py - size, px + size, py + size, paint)


def _any(rng: Rng, options: tuple[Any, ...]) -> Any:
    return options[int(rng.integers(len(options)))]


CURIOS: dict[str, Shape] = {"curio": curio}
