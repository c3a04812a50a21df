"""Views of generated scenes for the detector, with more crowding, zoom and light than the scenes have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.world import Split, Thing, sample_scene, sample_thing
from training.world.canvas import Pixels, noise_patch
from training.world.draw import draw_thing, tight_box
from training.world.scene import background, paste, photograph

Boxes = NDArray[np.float32]

VIEWS_PER_SCENE = 6
WAITING = 96
LEAST_VISIBLE = 0.45
"""Share of a thing's box inside a view from which it counts as there."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """``image``: RGB, uint8. ``things``: None is a thing of no category. ``boxes_xyxy``: float32, (n, 4)."""

    image: Pixels
    things: tuple[Thing | None, ...]
    boxes_xyxy: Boxes


def sample_views(rng: np.random.Generator, *, split: Split) -> Iterator[View]:
    """Without end: each scene is seen ``VIEWS_PER_SCENE`` times, mixed with views of other scenes."""
    waiting: list[View] = []
    while True:
        while len(waiting) < WAITING:
            scene = compose(rng, split=split)
            waiting += [look(scene, rng) for _ in range(VIEWS_PER_SCENE)]
        yield waiting.pop(int(rng.integers(len(waiting))))


def compose(rng: np.random.Generator, *, split: Split) -> View:
    """No to six things as a scene shows them, or a few large ones and odd shapes before a busier background."""
    height, width = (int(rng.integers(240, 385)) for _ in range(2))
    if rng.random() < 0.55:
        count = int(rng.choice(7, p=(0.04, 0.24, 0.24, 0.2, 0.14, 0.08, 0.06)))
        things = [sample_thing(rng, split=split) for _ in range(count)]
        scene = sample_scene(rng, things, height=height, width=width)
        return View(np.ascontiguousarray(scene.image), scene.things, scene.boxes_xyxy)
    image = backdrop(rng, height, width)
    boxes: list[NDArray[np.float32]] = []
    names: list[Thing | None] = []
    for _ in range(int(rng.integers(1, 5))):
        thing = sample_thing(rng, split=split) if rng.random() < 0.55 else None
        size = int(min(height, width) * rng.uniform(0.2, 0.85) * (1.0 if not boxes else 0.6))
        picture = draw_thing(thing, rng, size=size) if thing is not None else oddity(rng, size)
        x0, y0, x1, y1 = tight_box(picture)
        picture = picture[y0:y1, x0:x1]
        h, w = picture.shape[:2]
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        box = np.array((x, y, x + w, y + h), np.float32)
        if all(_shared(box, other) < 0.2 for other in boxes):
            paste(image, picture, x, y)
            boxes.append(box)
            names.append(thing)
    return View(photograph(image, rng), tuple(names), np.array(boxes, np.float32).reshape(-1, 4))


def backdrop(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Two surfaces that meet at a slanted edge, with blades, slats and shapes out of focus: all background."""
    image = background(rng, height, width)
    if rng.random() < 0.6:
        other = background(rng, height, width)
        y, x = np.ogrid[:height, :width]
        edge = rng.uniform(0.2, 0.8) + rng.normal(0, 0.25) * (x / width - 0.5)
        below = y / height > edge if rng.random() < 0.75 else x / width > rng.uniform(0.2, 0.8) + 0 * y
        image = np.where(below[..., None], other, image)
    if rng.random() < 0.35:
        rough = noise_patch(("fur", "weave", "wood", "grain")[rng.integers(4)], rng, height, width)
        image = np.clip(image + rng.uniform(15, 70) * rough[..., None], 0, 255).astype(np.uint8)
    image = np.ascontiguousarray(image)
    for _ in range(int(rng.integers(0, 5)) if rng.random() < 0.4 else 0):
        ends = rng.uniform(-0.2, 1.2, (2, 2)) * (width, height)
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        start, end = ((int(x), int(y)) for x, y in ends)
        cv2.line(image, start, end, colour, int(rng.integers(1, 14)), cv2.LINE_AA)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(0, 6))):
            lump = oddity(rng, int(min(height, width) * rng.uniform(0.2, 0.7)))
            paste(image, lump, int(rng.integers(-40, width)), int(rng.integers(-40, height)))
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(2.5, 9)), np.uint8)
    return image


def oddity(rng: np.random.Generator, size: int) -> Pixels:
    """A lump of one to four parts, each of its own colours and texture: RGBA, (size, size, 4)."""
    whole = _part(rng, size)
    for _ in range(int(rng.integers(0, 4))):
        part = _part(rng, max(6, int(size * rng.uniform(0.15, 0.6))))
        x, y = (int(rng.integers(0, size - len(part) + 1)) for _ in range(2))
        window = whole[y : y + len(part), x : x + len(part)]
        touching = (window[..., 3] > 0) & (part[..., 3] > 0)
        if touching.sum() > 0.3 * (part[..., 3] > 0).sum():
            seen = part[..., 3] > 0
            window[seen] = part[seen]
    return whole


def _part(rng: np.random.Generator, size: int) -> Pixels:
    """One textured shape with a wavy or an angular outline."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones(64)
    for order in range(2, 7):
        radius += rng.normal(0, 0.3 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.4:
        corners = 64 // int(rng.integers(3, 8))
        angles, radius = angles[::corners], radius[::corners]
    radius = np.clip(radius, 0.25, None)
    outline = np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.5, 1.8)], 1) * radius[:, None]
    outline -= outline.min(axis=0)
    outline *= (size - 1) / outline.max()
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255)
    first = rng.integers(0, 256, 3)
    second = rng.integers(0, 256, 3) if rng.random() < 0.6 else np.clip(first + rng.normal(0, 30, 3), 0, 255)
    kind = ("cloud", "fur", "weave", "wood", "grain")[rng.integers(5)]
    mix = np.clip(0.5 + rng.uniform(0, 1.5) * noise_patch(kind, rng, size, size), 0, 1)[..., None]
    ramp = np.linspace(-1, 1, size)
    light = ramp[None, :, None] * rng.normal(0, 35) + ramp[:, None, None] * rng.normal(0, 35)
    lump = np.empty((size, size, 4), np.uint8)
    lump[..., :3] = np.clip(first * mix + second * (1 - mix) + light, 0, 255)
    lump[..., 3] = mask
    return lump


def look(scene: View, rng: np.random.Generator) -> View:
    """A window onto the scene (often close to one thing), flipped, and in another light."""
    left, top, right, bottom = _window(scene, rng)
    image = scene.image[top:bottom, left:right]
    offset = np.array((left, top, left, top), np.float32)
    limit = np.array((right - left, bottom - top) * 2, np.float32)
    boxes = np.clip(scene.boxes_xyxy - offset, 0, limit)
    areas = (scene.boxes_xyxy[:, 2:] - scene.boxes_xyxy[:, :2]).prod(axis=1)
    kept = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= LEAST_VISIBLE * areas)
    boxes = boxes[kept]
    if rng.random() < 0.5:
        image = image[:, ::-1]
        boxes[:, [0, 2]] = limit[0] - boxes[:, [2, 0]]
    return View(_relight(np.ascontiguousarray(image), rng), tuple(scene.things[i] for i in kept), boxes)


def _window(scene: View, rng: np.random.Generator) -> tuple[int, int, int, int]:
    height, width = scene.image.shape[:2]
    if rng.random() < 0.35 or not len(scene.boxes_xyxy):
        return 0, 0, width, height
    x0, y0, x1, y1 = scene.boxes_xyxy[rng.integers(len(scene.boxes_xyxy))]
    room = rng.uniform(0, 0.7, 4) * np.array((x1 - x0, y1 - y0, x1 - x0, y1 - y0))
    return (
        max(0, int(x0 - room[0])),
        max(0, int(y0 - room[1])),
        min(width, int(x1 + room[2]) + 1),
        min(height, int(y1 + room[3]) + 1),
    )


def _relight(image: Pixels, rng: np.random.Generator) -> Pixels:
    tone = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.25)) * 255
    image = cv2.LUT(image, np.clip(tone, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(rng.normal(0, 5))) % 180
        hsv[..., 1] = cv2.LUT(hsv[..., 1], np.clip(np.arange(256) * rng.uniform(0.3, 1.3), 0, 255).astype(np.uint8))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < 0.05:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(image, np.uint8)


def _shared(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Intersection over the smaller area."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    areas = [(box[2:] - box[:2]).prod() for box in (first, second)]
    return float(np.clip(sides, 0, None).prod() / min(areas))
