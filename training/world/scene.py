"""Pictures of several things on a background, with where each one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from rap_serve.domain import places
from training.world.canvas import Pixels, noise_patch
from training.world.draw import draw_thing, tight_box
from training.world.things import COLOURS, Thing

Boxes = NDArray[np.float32]
Relation: TypeAlias = Literal["left of", "right of", "above", "below", "in front of"]
SURFACES = (
    (214, 206, 196),
    (120, 92, 64),
    (90, 96, 104),
    (168, 150, 128),
    (70, 110, 70),
    (200, 202, 208),
    (58, 52, 50),
)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """``image``: RGB, uint8, (h, w, 3). ``boxes_xyxy``: float32, (n, 4), pixels, in the order of ``things``."""

    image: Pixels
    things: tuple[Thing, ...]
    boxes_xyxy: Boxes


def sample_scene(rng: np.random.Generator, things: Sequence[Thing], *, height: int = 320, width: int = 320) -> Scene:
    """The things at random places on a background; later ones may cover a little of earlier ones."""
    image = background(rng, height, width)
    boxes: list[tuple[int, int, int, int]] = []
    crowd = 1.0 if len(things) <= 2 else 0.8 if len(things) <= 4 else 0.6
    for thing in things:
        size = int(min(height, width) * rng.uniform(0.25, 0.6) * crowd)
        size = max(size, int(0.25 * min(height, width)))
        boxes.append(_place(image, thing, rng, size, boxes))
    return Scene(
        image=photograph(image, rng),
        things=tuple(things),
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
    )


def relations(scene: Scene) -> list[tuple[int, Relation, int]]:
    """How things stand to each other: ``(i, "left of", j)``, each pair both ways.

    A side holds where the middles are further apart than the half of the larger thing; ``in front of``
    where a thing covers a tenth or more of an earlier one.
    """
    found: list[tuple[int, Relation, int]] = []
    boxes = scene.boxes_xyxy.tolist()
    for i, j in permutations(range(len(boxes)), 2):
        found += [(i, relation, j) for relation in places.relations(boxes[i], boxes[j])]
        if i > j and _overlap(_corners(scene.boxes_xyxy[i]), _corners(scene.boxes_xyxy[j])) >= 0.1:
            found.append((i, "in front of", j))
    return found


def _corners(box: Boxes) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (int(v) for v in box)
    return x0, y0, x1, y1


def background(rng: np.random.Generator, h: int, w: int) -> Pixels:
    """A wall, table, lawn, board or clutter of shapes: RGB, uint8, (h, w, 3)."""
    small = (max(2, h // 2), max(2, w // 2))
    first, second = _surface(rng), _surface(rng)
    kind = rng.integers(5)
    if kind == 0:
        weight = np.linspace(0, 1, small[0], dtype=np.float32)[:, None] * np.ones(small[1], np.float32)
    elif kind == 1:
        weight = (np.linspace(0, 1, small[0]) > rng.uniform(0.3, 0.8)).astype(np.float32)[:, None] * np.ones(
            small[1], np.float32
        )
    elif kind == 2:
        step = int(rng.integers(6, 40))
        rows, columns = np.ogrid[: small[0], : small[1]]
        weight = ((rows // step + columns // step * int(rng.integers(2))) % 2).astype(np.float32)
        weight = np.broadcast_to(weight, small)
    else:
        weight = np.clip(0.5 + noise_patch("cloud", rng, *small), 0, 1)
    grain = noise_patch(("cloud", "fur", "wood", "weave", "cloud")[rng.integers(5)], rng, *small)
    mix = cv2.merge([weight * float(b - a) + float(a) for a, b in zip(first, second, strict=True)])
    mix += (grain * rng.uniform(2, 26))[..., None]
    out = np.clip(mix, 0, 255).astype(np.uint8)
    if kind == 4:
        _clutter(out, rng)
    out = cv2.resize(out, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, np.uint8)


def photograph(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture through a cheap camera: light, colour cast, blur, noise, JPEG."""
    h, w = image.shape[:2]
    gain = np.exp(rng.normal(0, 0.06, 3) + rng.normal(0, 0.16)).astype(np.float32)
    ramp = np.linspace(-1, 1, w, dtype=np.float32)[None, :] * rng.normal(0, 0.1)
    ramp = ramp + np.linspace(-1, 1, h, dtype=np.float32)[:, None] * rng.normal(0, 0.1)
    out = image * (gain * (1 + ramp)[..., None])
    out = out + (noise_patch("grain", rng, h, w) * rng.uniform(0, 14) + rng.normal(0, 7))[..., None]
    photo = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 1.3)), np.uint8)
    quality = int(rng.integers(35, 95))
    _, code = cv2.imencode(".jpg", photo, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


def paste(image: Pixels, rgba: Pixels, x: int, y: int) -> None:
    """Lay the picture over ``image`` in place, its corner at (x, y); what sticks out is cut off."""
    h, w = image.shape[:2]
    top, left = max(0, -y), max(0, -x)
    part = rgba[top : max(top, h - y), left : max(left, w - x)]
    window = image[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
    alpha = part[..., 3:].astype(np.uint16)
    window[:] = ((part[..., :3] * alpha + window * (255 - alpha)) // 255).astype(np.uint8)


def _place(
    image: Pixels, thing: Thing, rng: np.random.Generator, size: int, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    picture = draw_thing(thing, rng, size=size)
    x0, y0, x1, y1 = tight_box(picture)
    picture = picture[y0:y1, x0:x1]
    h, w = picture.shape[:2]
    spots = np.stack([rng.integers(0, image.shape[1] - w + 1, 12), rng.integers(0, image.shape[0] - h + 1, 12)], axis=1)
    covered = [sum(_overlap((int(x), int(y), int(x) + w, int(y) + h), box) for box in taken) for x, y in spots]
    x, y = (int(v) for v in spots[int(np.argmin(covered))])
    _shadow(image, picture, x, y, rng)
    paste(image, picture, x, y)
    return x, y, x + w, y + h


def _shadow(image: Pixels, picture: Pixels, x: int, y: int, rng: np.random.Generator) -> None:
    """A soft contact shadow under the lower third."""
    h, w = picture.shape[:2]
    dark = np.zeros((h // 3 + 1, w, 4), np.uint8)
    cv2.ellipse(dark, (w // 2, h // 6), (int(w * 0.48), h // 8), 0, 0, 360, (0, 0, 0, int(rng.integers(30, 140))), -1)
    soft = np.asarray(cv2.GaussianBlur(dark, (0, 0), max(1.0, h / 30)), np.uint8)
    paste(image, soft, x + int(rng.normal(0, w / 20)), y + h - h // 5)


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Intersection over the smaller area."""
    w = min(first[2], second[2]) - max(first[0], second[0])
    h = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return max(0, w) * max(0, h) / min(areas)


def _surface(rng: np.random.Generator) -> tuple[int, int, int]:
    if rng.random() < 0.6:
        red, green, blue = SURFACES[rng.integers(len(SURFACES))]
    else:
        red, green, blue = list(COLOURS.values())[rng.integers(len(COLOURS))]
    shift = rng.normal(0, 18, 3)
    return tuple(int(np.clip(v + s, 0, 255)) for v, s in zip((red, green, blue), shift, strict=True))  # type: ignore[return-value]


def _clutter(image: Pixels, rng: np.random.Generator) -> None:
    h, w = image.shape[:2]
    for _ in range(int(rng.integers(4, 14))):
        colour = _surface(rng)
        x, y = int(rng.integers(w)), int(rng.integers(h))
        size = (int(rng.integers(4, w // 3 + 5)), int(rng.integers(4, h // 3 + 5)))
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + size[0], y + size[1]), colour, -1)
        else:
            cv2.ellipse(image, (x, y), size, int(rng.integers(180)), 0, 360, colour, -1)
