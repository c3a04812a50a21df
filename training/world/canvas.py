"""A canvas in unit coordinates, and the textures that are painted on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.world.things import COLOURS, Rgb, Thing, identity_seed

Pixels = NDArray[np.uint8]
Point = tuple[float, float]
Paint = Rgb | Pixels

NOISE_SIDE = 1024


@cache
def noise(kind: str) -> NDArray[np.float32]:
    """Tiling-free noise, float32, (1024, 1024), zero mean, values mostly within one of zero.

    ``kind``: ``cloud`` (many octaves), ``grain`` (per pixel), ``fur`` (short strokes), ``weave``
    (crossed threads) or ``wood`` (long streaks).
    """
    rng = np.random.default_rng(sum(map(ord, kind)))
    grain = rng.standard_normal((NOISE_SIDE, NOISE_SIDE)).astype(np.float32)
    if kind == "cloud":
        field = sum(
            (cv2.resize(grain[:n, :n], (NOISE_SIDE, NOISE_SIDE), interpolation=cv2.INTER_CUBIC) / n**0.7)
            for n in (4, 8, 16, 32, 64, 128, 256)
        )
        grain = np.asarray(field, dtype=np.float32)
    elif kind == "fur":
        grain = cv2.GaussianBlur(grain, (0, 0), sigmaX=0.8, sigmaY=4.0)
    elif kind == "weave":
        rows, columns = np.mgrid[:NOISE_SIDE, :NOISE_SIDE]
        grain = (np.sin(rows * 1.3) * np.sin(columns * 1.3) + 0.3 * grain).astype(np.float32)
    elif kind == "wood":
        grain = cv2.GaussianBlur(grain, (0, 0), sigmaX=60, sigmaY=1.2)
    grain -= grain.mean()
    return np.asarray(grain / (2 * grain.std()), dtype=np.float32)


def noise_patch(kind: str, rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A random window of ``noise``, float32, (height, width); both at most 1024."""
    y = int(rng.integers(NOISE_SIDE - height + 1))
    x = int(rng.integers(NOISE_SIDE - width + 1))
    return noise(kind)[y : y + height, x : x + width]


class Canvas:
    """Paints parts in unit coordinates (x right, y down) on a square of ``side`` pixels.

    The fourth channel is the relief: zero where nothing is painted, else a level that differs from part
    to part, from which ``draw`` takes the outline and the shading.
    """

    def __init__(self, side: int, rng: np.random.Generator, background: Rgb) -> None:
        self.side = side
        self.pixels: Pixels = np.empty((side, side, 4), np.uint8)
        self.pixels[:] = (*background, 0)
        self._rng = rng
        self._parts = 0

    def polygon(self, points: Sequence[Point], paint: Paint) -> None:
        """Fill the polygon."""
        self._fill(self._to_pixels(points), paint)

    def ellipse(self, x: float, y: float, rx: float, ry: float, paint: Paint, *, angle: float = 0) -> None:
        """Fill the ellipse with its centre at (x, y); ``angle`` in degrees."""
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        dx, dy = rx * np.cos(turn), ry * np.sin(turn)
        outline = np.stack([x + c * dx - s * dy, y + s * dx + c * dy], axis=1)
        self._fill(self._to_pixels(outline), paint)

    def box(self, x0: float, y0: float, x1: float, y1: float, paint: Paint, *, corner: float = 0) -> None:
        """Fill the rectangle, its corners cut by ``corner``."""
        c = corner
        self.polygon(
            [
                (x0 + c, y0),
                (x1 - c, y0),
                (x1, y0 + c),
                (x1, y1 - c),
                (x1 - c, y1),
                (x0 + c, y1),
                (x0, y1 - c),
                (x0, y0 + c),
            ],
            paint,
        )

    def stroke(self, points: Sequence[Point], width: float, paint: Rgb) -> None:
        """A line through the points, ``width`` in units of the side."""
        line = self._to_pixels(points)
        cv2.polylines(self.pixels, [line], False, (*paint, self._level()), max(1, round(width * self.side)))

    def loop(self, x: float, y: float, rx: float, ry: float, width: float, paint: Rgb) -> None:
        """An elliptical ring."""
        turn = np.linspace(0, 2 * np.pi, 25)
        self.stroke([(x + rx * np.cos(t), y + ry * np.sin(t)) for t in turn], width, paint)

    def _to_pixels(self, points: Sequence[Point] | NDArray[np.float64]) -> NDArray[np.int32]:
        shift = self._rng.normal(0, 0.006, 2)
        return np.round((np.asarray(points, dtype=np.float64) + shift) * self.side).astype(np.int32)

    def _fill(self, outline: NDArray[np.int32], paint: Paint) -> None:
        if isinstance(paint, tuple):
            cv2.fillPoly(self.pixels, [outline], (*paint, self._level()))
            return
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(mask, [outline], 255)
        cv2.copyTo(paint, mask, self.pixels)
        cv2.polylines(self.pixels, [outline], True, (*_dark(paint), self._level()), max(1, self.side // 160))

    def _level(self) -> int:
        self._parts += 1
        return 130 + 37 * self._parts % 90


def _dark(paint: Pixels) -> Rgb:
    middle = paint[len(paint) // 2, len(paint) // 2]
    return (int(middle[0]) * 2 // 3, int(middle[1]) * 2 // 3, int(middle[2]) * 2 // 3)


@lru_cache(maxsize=128)
def body_texture(thing: Thing, side: int) -> Pixels:
    """The pattern of the thing in its two colours, uint8, (side, side, 4); no view in it. Not to be written to."""
    seed = np.random.default_rng(identity_seed(thing))
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    weight = _pattern(thing.pattern, x, y, seed)
    base, accent = (np.asarray(COLOURS[name], np.float32) for name in (thing.base, thing.accent))
    texture = np.full((side, side, 4), 175, np.uint8)
    texture[..., :3] = base + weight[..., None].astype(np.float32) * (accent - base)
    return texture


def _pattern(
    pattern: str, x: NDArray[np.float32], y: NDArray[np.float32], seed: np.random.Generator
) -> NDArray[np.float32]:
    n = float(seed.integers(6, 13))
    phase = float(seed.random())
    cloud = noise_patch("cloud", seed, *x.shape)
    fields: dict[str, Callable[[], NDArray[Any]]] = {
        "plain": lambda: np.zeros_like(x),
        "stripes": lambda: (x * n + phase) % 1 < 0.45,
        "hoops": lambda: (y * n + phase) % 1 < 0.45,
        "diagonal stripes": lambda: ((x + y) * n + phase) % 1 < 0.4,
        "dots": lambda: ((x * n + phase) % 1 - 0.5) ** 2 + ((y * n) % 1 - 0.5) ** 2 < 0.085,
        "checks": lambda: ((x * n * 0.7 + phase) % 1 < 0.5) ^ ((y * n * 0.7) % 1 < 0.5),
        "patches": lambda: cloud > 0.25 * (phase + 0.2),
        "speckles": lambda: noise_patch("fur", seed, *x.shape) > 0.6,
        "a wide band": lambda: np.abs(y - 0.45 - 0.25 * phase) < 0.07,
        "zigzags": lambda: (y * n + np.abs((x * n) % 2 - 1) + phase) % 1 < 0.4,
        "marbling": lambda: 0.5 + 0.5 * np.sin(14 * cloud + 8 * (x + phase)),
        "diamonds": lambda: np.abs((x * n) % 1 - 0.5) + np.abs((y * n * 0.7 + phase) % 1 - 0.5) < 0.33,
    }
    return np.asarray(fields[pattern](), dtype=np.float32)
