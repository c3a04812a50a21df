"""Pictures of one thing, each from a view of its own."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.world.beasts import BEASTS
from training.world.canvas import Canvas, Pixels, body_texture, noise_patch
from training.world.creatures import CREATURES
from training.world.curios import CURIOS
from training.world.furniture import FURNITURE
from training.world.objects import OBJECTS
from training.world.things import COLOURS, Thing
from training.world.vehicles import VEHICLES
from training.world.vessels import VESSELS

PARTS = {**VESSELS, **OBJECTS, **CREATURES, **VEHICLES, **FURNITURE, **BEASTS, **CURIOS}
CANVAS_SIDE = 224
GRAIN = {
    "matte": ("cloud", 6.0),
    "glossy": ("cloud", 4.0),
    "furry": ("fur", 20.0),
    "woven": ("weave", 13.0),
    "wooden": ("wood", 16.0),
}


def draw_thing(thing: Thing, rng: np.random.Generator, *, size: int) -> Pixels:
    """The thing from a random view: RGBA, uint8, (size, size, 4), alpha-tight along its longer side.

    The view draws the turn, the tilt, the places of parts, the light and the grain; never the identity.
    """
    side = min(2 * size, CANVAS_SIDE)
    canvas = Canvas(side, rng, COLOURS[thing.base])
    PARTS[thing.category](canvas, thing, body_texture(thing, side))
    picture = _shade(canvas.pixels, thing, rng)
    return _fit(_turn(picture, rng), size)


def tight_box(rgba: Pixels) -> tuple[int, int, int, int]:
    """The box around what can be seen, (x0, y0, x1, y1) in pixels, the ends outside."""
    x, y, width, height = cv2.boundingRect((rgba[..., 3] > 96).astype(np.uint8))
    return x, y, x + width, y + height


def _shade(pixels: Pixels, thing: Thing, rng: np.random.Generator) -> Pixels:
    """Light from a random side over a relief that bulges inside each part, and the grain of the finish."""
    side = len(pixels)
    relief = pixels[..., 3]
    bulge = cv2.GaussianBlur(
        cv2.resize(relief, (side // 2, side // 2), interpolation=cv2.INTER_AREA), (0, 0), side / 36
    )
    slope_x = cv2.Sobel(bulge, cv2.CV_32F, 1, 0, ksize=3)
    slope_y = cv2.Sobel(bulge, cv2.CV_32F, 0, 1, ksize=3)
    angle = rng.uniform(-np.pi, 0.3 * np.pi)
    light = cv2.resize(np.cos(angle) * slope_x + np.sin(angle) * slope_y, (side, side))
    gain = -rng.uniform(0.25, 1.1) * light
    if thing.finish == "glossy":
        gain += 110 * np.clip(-light / 60 - 0.7, 0, 1)
    kind, depth = GRAIN[thing.finish]
    gain += depth * rng.uniform(0.7, 1.3) * noise_patch(kind, rng, side, side)
    falloff = np.linspace(-1, 1, side, dtype=np.float32) * rng.uniform(-25, 25)
    gain += falloff if rng.random() < 0.5 else falloff[:, None]
    lit = np.empty_like(pixels)
    gain_colour = cv2.merge([gain, gain, gain])
    tone = np.float32(1) + gain_colour * np.float32(1 / 170)
    lit[..., :3] = np.clip(pixels[..., :3] * tone + gain_colour * np.float32(0.25), 0, 255)
    lit[..., 3] = (relief > 0) * np.uint8(255)
    return lit


def _turn(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """A mild rotation, tilt and stretch, with room around it."""
    side = len(picture)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64) - 0.5
    turn = np.radians(rng.normal(0, 9))
    spin = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    stretch = 0.7 * np.exp(rng.normal(0, 0.09, 2) * (1, -1))
    target = (corners * stretch) @ spin.T + rng.normal(0, 0.025, (4, 2))
    shift = target.mean(axis=0)
    matrix = cv2.getPerspectiveTransform(
        ((corners + 0.5) * side).astype(np.float32), ((target - shift + 0.5) * side).astype(np.float32)
    )
    return np.asarray(cv2.warpPerspective(picture, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def _fit(picture: Pixels, size: int) -> Pixels:
    x0, y0, x1, y1 = tight_box(picture)
    scale = size / max(x1 - x0, y1 - y0)
    width, height = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inner = cv2.resize(picture[y0:y1, x0:x1], (width, height), interpolation=method)
    out: NDArray[np.uint8] = np.zeros((size, size, 4), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    out[top : top + height, left : left + width] = inner
    return out
