"""Libraries and pictures of the ``dev`` split, as the detector and the embedder see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rap_serve.adapters.open_clip import OpenClipEmbedder
from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.domain.colour import join_colour
from rap_serve.domain.region import BoxXyxy, Pixels, Region, intersection_over_union, whole_picture
from training.world.scene import Scene, sample_scene
from training.world.things import Thing, sample_thing
from training.world.views import lookalike

Floats = NDArray[np.float32]

LIBRARY = 20
FAMILY = 3
FAMILIES = 2
SAME_PLACE_IOU = 0.5
GENERIC = "object"
SCENES = {0: 6, 1: 6, 2: 3, 4: 2}
"""How many pictures of a library show how many of its concepts."""
STRANGERS = {0: (1, 2), 1: (0, 2), 2: (0, 2), 4: (0, 1)}
"""How many other things, at least and at most, are beside them."""
PICTURES = LIBRARY + sum(SCENES.values())


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The two parts of n embeddings before they are joined, each of norm 1: (n, d) and (n, k)."""

    learned: Floats
    colour: Floats

    def joined(self, share: float) -> Floats:
        """The embeddings with that share of colour."""
        return join_colour(self.learned, self.colour, share)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The regions of one picture: ``shown``, int64, (regions,), is the library's concept in each, -1 for none.

    ``concepts``: which of the library's are in the picture; ``things``: how many there are, strangers included.
    """

    regions: tuple[Region, ...]
    parts: Parts
    shown: NDArray[np.int64]
    concepts: tuple[int, ...]
    things: int


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """One library, an avatar for each of LIBRARY things, and the pictures taken of it."""

    avatars: Parts
    pictures: tuple[Seen, ...]


def take_pictures(
    detector: YoloWorldDetector, embedder: OpenClipEmbedder, rng: np.random.Generator, *, shelves: int
) -> Iterator[Shelf | None]:
    """``shelves`` libraries with their pictures; None after every picture, for who shows progress."""
    for _ in range(shelves):
        things = sample_library(rng)
        vocabulary = (*sorted({t.category for t in things}), GENERIC)
        avatars, pictures = [], []
        for thing in things:
            avatars.append(_avatar(embedder, thing, rng))
            yield None
        for concepts in (count for count, times in SCENES.items() for _ in range(times)):
            pictures.append(_picture(detector, embedder, things, concepts, vocabulary, rng))
            yield None
        yield Shelf(stacked(avatars), tuple(pictures))


def sample_library(rng: np.random.Generator) -> list[Thing]:
    """LIBRARY things; among them none, one or two families of look-alikes, for some owners have such and some not."""
    things: list[Thing] = []
    for _ in range(int(rng.integers(FAMILIES + 1))):
        first = sample_thing(rng, split="dev")
        things += [first, *(lookalike(first, rng, split="dev") for _ in range(FAMILY - 1))]
    return things + [sample_thing(rng, split="dev") for _ in range(LIBRARY - len(things))]


def embed_parts(embedder: OpenClipEmbedder, picture: Pixels, boxes: Sequence[BoxXyxy]) -> Parts:
    """The parts of the boxes' embeddings, whatever share of colour the embedder has now."""
    vectors = embedder.forward(embedder.preprocess(picture, boxes))
    learned, colour = vectors[:, : embedder.text_dim], vectors[:, embedder.text_dim :]
    return Parts(*(part / np.linalg.norm(part, axis=1, keepdims=True) for part in (learned, colour)))


def stacked(parts: Sequence[Parts]) -> Parts:
    """All of them in order; at least one."""
    return Parts(np.concatenate([p.learned for p in parts]), np.concatenate([p.colour for p in parts]))


def boxes_of(scene: Scene) -> list[BoxXyxy]:
    """Where the things of a scene are, in their order."""
    return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in scene.boxes_xyxy]


def _avatar(embedder: OpenClipEmbedder, thing: Thing, rng: np.random.Generator) -> Parts:
    scene = sample_scene(rng, [thing])
    return embed_parts(embedder, scene.image, boxes_of(scene))


def _picture(
    detector: YoloWorldDetector,
    embedder: OpenClipEmbedder,
    things: Sequence[Thing],
    concepts: int,
    vocabulary: tuple[str, ...],
    rng: np.random.Generator,
) -> Seen:
    chosen = tuple(int(i) for i in rng.choice(len(things), concepts, replace=False))
    least, most = STRANGERS[concepts]
    strangers = [_stranger(things, rng) for _ in range(int(rng.integers(least, most + 1)))]
    scene = sample_scene(rng, [*(things[i] for i in chosen), *strangers])
    found = detector.forward([detector.preprocess(scene.image, vocabulary)])[0] or (whole_picture(scene.image),)
    places = list(zip(boxes_of(scene), chosen, strict=False))
    shown = np.array([_shown(region.box_xyxy, places) for region in found], np.int64)
    parts = embed_parts(embedder, scene.image, [region.box_xyxy for region in found])
    return Seen(found, parts, shown, chosen, len(scene.things))


def _stranger(things: Sequence[Thing], rng: np.random.Generator) -> Thing:
    while (thing := sample_thing(rng, split="dev")) in things:
        continue
    return thing


def _shown(box: BoxXyxy, places: Sequence[tuple[BoxXyxy, int]]) -> int:
    """The concept whose place the box shares, -1 where there is none."""
    overlap, concept = max(((intersection_over_union(box, b), c) for b, c in places), default=(0.0, -1))
    return concept if overlap >= SAME_PLACE_IOU else -1
