"""Views for contrastive training: what a detector would cut out around a thing, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.world.canvas import Pixels, noise_patch
from training.world.draw import draw_thing, tight_box
from training.world.scene import background, paste
from training.world.things import (
    CATEGORIES,
    COLOURS,
    CURIO,
    EMBLEMS,
    KINDS,
    MARKS,
    PATTERNS,
    WORN,
    Split,
    Thing,
    sample_thing,
    split_of,
)

DRAWINGS_EACH = 4
FIELDS = ("accent", "detail", "pattern", "extra", "mark", "part", "form", "base")
"""The attributes in which look-alikes differ."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A thing and some drawings of it, RGBA, cut to the alpha."""

    thing: Thing
    drawings: tuple[Pixels, ...]


def lookalike(thing: Thing, rng: np.random.Generator, *, split: Split) -> Thing:
    """Another thing of the same category that shares most attributes."""
    while True:
        other = thing
        for _ in range(int(rng.integers(1, 4))):
            other = _change(other, FIELDS[rng.integers(len(FIELDS))], rng)
        if other != thing and split_of(other) == split:
            return other


def twin(thing: Thing, rng: np.random.Generator, *, split: Split) -> tuple[Thing, str]:
    """Another thing that differs in exactly one attribute that can be seen, and that attribute's name."""
    plain, bare = thing.pattern == "plain", thing.extra == "nothing"
    hidden = {"mark"} | ({"accent"} if plain else set()) | ({"detail"} if bare else set())
    while True:
        field = FIELDS[rng.integers(len(FIELDS))]
        other = _change(thing, field, rng)
        if field not in hidden and other != thing and other.base != other.accent and split_of(other) == split:
            return other, field


def draw_several(thing: Thing, rng: np.random.Generator, *, side: int, count: int = DRAWINGS_EACH) -> Drawn:
    """The thing with ``count`` drawings at about ``side`` pixels."""
    drawings = []
    for _ in range(count):
        picture = draw_thing(thing, rng, size=side)
        x0, y0, x1, y1 = tight_box(picture)
        drawings.append(np.ascontiguousarray(picture[y0:y1, x0:x1]))
    return Drawn(thing, tuple(drawings))


def loose_crop(drawing: Pixels, others: tuple[Pixels, ...], rng: np.random.Generator, *, side: int) -> Pixels:
    """The drawing as a loose detector crop of a bad photograph: RGB, uint8, (side, side, 3)."""
    picture = _bend(drawing, rng)
    h, w = picture.shape[:2]
    margin = int(0.25 * max(h, w))
    image = background(rng, h + 2 * margin, w + 2 * margin)
    for other in others:
        y, x = rng.integers(-h // 2, image.shape[0]), rng.integers(-w // 2, image.shape[1])
        paste(image, other, int(x), int(y))
    paste(image, picture, margin, margin)
    if others and rng.random() < 0.25:
        _cover(image, others[0], rng)
    x0, x1 = margin + rng.normal(-0.03, 0.07) * w, margin + w + rng.normal(0.03, 0.07) * w
    y0, y1 = margin + rng.normal(-0.03, 0.07) * h, margin + h + rng.normal(0.03, 0.07) * h
    crop = image[max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)]
    return _photometric(crop, rng, side)


def clean_crop(drawing: Pixels, rng: np.random.Generator, *, side: int) -> Pixels:
    """The drawing on a calm background, as an owner's own picture: RGB, uint8, (side, side, 3)."""
    h, w = drawing.shape[:2]
    image = background(rng, h, w)
    paste(image, drawing, 0, 0)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class ViewBatch:
    """``views``: uint8, (2, n, side, side, 3), the first and the second view of each thing."""

    things: tuple[Thing, ...]
    views: Pixels


def view_batches(
    rng: np.random.Generator,
    *,
    things: int,
    side: int,
    pool: int,
    renewed: int,
    curios: float = 0.0,
    augmented: bool = True,
) -> Iterator[ViewBatch]:
    """Endless batches of ``things`` things, half of them in families of look-alikes.

    The drawings come from a pool of families, of which ``renewed`` are drawn anew for each batch. ``curios``: how
    many of the families are curios. ``augmented`` off: all views are as an owner's own pictures.
    """
    families = [_family(rng, side, curios) for _ in range(pool)]
    while True:
        for _ in range(renewed):
            families[int(rng.integers(pool))] = _family(rng, side, curios)
        chosen: list[Drawn] = []
        for index in rng.permutation(pool):
            keep = 4 if len(chosen) < things // 2 else 1
            chosen.extend(families[index][:keep])
            if len(chosen) >= things:
                break
        chosen = chosen[:things]
        views = np.empty((2, things, side, side, 3), np.uint8)
        for i, drawn in enumerate(chosen):
            first, second = rng.choice(len(drawn.drawings), 2, replace=False)
            for view, drawing in enumerate((first, second)):
                views[view, i] = _view(drawn.drawings[drawing], chosen if augmented else (), rng, side)
        yield ViewBatch(tuple(drawn.thing for drawn in chosen), views)


def _family(rng: np.random.Generator, side: int, curios: float) -> list[Drawn]:
    which = rng.random()
    category = CURIO if which < curios else "carton" if which > 0.9 else CATEGORIES[rng.integers(len(CATEGORIES))]
    first = sample_thing(rng, split="train", category=category)
    twins = [twin(first, rng, split="train")[0] for _ in range(2)]
    things = [first, *twins, lookalike(first, rng, split="train")]
    return [draw_several(thing, rng, side=side) for thing in things]


def _view(drawing: Pixels, batch: Sequence[Drawn], rng: np.random.Generator, side: int) -> Pixels:
    """``batch``: what may stand beside it or before it; with nothing there the picture is a clean one."""
    if not batch or rng.random() < 0.12:
        return clean_crop(drawing, rng, side=side)
    others = tuple(batch[int(rng.integers(len(batch)))].drawings[0] for _ in range(int(rng.integers(3))))
    return loose_crop(drawing, others, rng, side=side)


def _change(thing: Thing, field: str, rng: np.random.Generator) -> Thing:
    alive = KINDS[thing.category].alive
    options: dict[str, tuple[str, ...]] = {
        "accent": tuple(COLOURS),
        "detail": tuple(COLOURS),
        "base": tuple(COLOURS),
        "pattern": PATTERNS,
        "extra": WORN if alive else EMBLEMS,
    }
    if field in options:
        value: str | int = options[field][rng.integers(len(options[field]))]
    else:
        value = int(rng.integers(MARKS if field == "mark" else 4))
    return replace(thing, **{field: value})  # type: ignore[arg-type]


def _bend(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Shear, stretch and shrink of the picture."""
    h, w = picture.shape[:2]
    scale = np.exp(rng.normal(-0.1, 0.2))
    across, down = scale * np.exp(rng.normal(0, 0.1)), scale * np.exp(rng.normal(0, 0.06))
    shear = rng.normal(0, 0.08)
    matrix = np.array([[across, shear * across, 0], [0, down, 0]], np.float32)
    matrix[0, 2] = max(0.0, -shear * across * h)
    size = (max(12, int(across * w + abs(shear) * across * h)), max(12, int(down * h)))
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)


def _cover(image: Pixels, other: Pixels, rng: np.random.Generator) -> None:
    """Something in front, over one edge."""
    h, w = image.shape[:2]
    oh, ow = other.shape[:2]
    y, x = rng.integers(h), rng.integers(w)
    edge = rng.integers(4)
    reach = int(0.28 * min(h, w))
    if edge == 0:
        y = h - reach
    elif edge == 1:
        y = reach - oh
    elif edge == 2:
        x = w - reach
    else:
        x = reach - ow
    paste(image, other, int(x - ow // 2 if edge < 2 else x), int(y - oh // 2 if edge >= 2 else y))


def _photometric(crop: Pixels, rng: np.random.Generator, side: int) -> Pixels:
    """Light, white balance, contrast, saturation, blur, noise and JPEG; hue moves little."""
    small = side if rng.random() < 0.6 else int(rng.integers(side // 3, side))
    shrink = crop.shape[0] > small
    out = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    photo = out.astype(np.float32)
    grey = photo.mean(axis=2, keepdims=True)
    photo = grey + (photo - grey) * np.float32(rng.uniform(0.45, 1.35))
    photo *= np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.28)).astype(np.float32)
    photo += np.float32(rng.normal(0, 14))
    ramp = np.linspace(-1, 1, small, dtype=np.float32) * np.float32(rng.normal(0, 0.15))
    photo *= 1 + (ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None])
    if rng.random() < 0.5:
        photo += (noise_patch("grain", rng, small, small) * np.float32(rng.uniform(0, 22)))[..., None]
    if rng.random() < 0.4:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 1.6))
    seen = np.clip(photo, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, code = cv2.imencode(".jpg", seen, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))))
        seen = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.resize(seen, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
