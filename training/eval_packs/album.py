"""Things with owners, and the pictures that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rap_serve.cli.client import NewAvatar
from rap_serve.cli.eval.pack import PackConcept, PackLibrary, PackPicture, Shown
from rap_serve.cli.scoring import names_in
from training.world.facts import Fact, sample_fact
from training.world.scene import Scene, sample_scene
from training.world.text import info_text, sample_name
from training.world.things import HELD_OUT, KINDS, Thing, sample_thing

SIDE_PX = 320
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to make. ``n``: pictures, concepts or pairs; ``library``: concepts per user."""

    n: int
    library: int = 20

    @property
    def users(self) -> int:
        return -(-self.n // self.library)


@dataclass(frozen=True, slots=True)
class Owned:
    """A thing that a user shows the service. ``info``: what it looks like, and the fact's sentence."""

    name: str
    thing: Thing
    info: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class Owner:
    """A user and what is theirs."""

    user: str
    owned: tuple[Owned, ...]

    def named(self, thing: Thing) -> str | None:
        """What the user calls the thing; None where it is not theirs."""
        return next((o.name for o in self.owned if o.thing == thing), None)


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A picture in the pack, and the scene it came from."""

    picture: PackPicture
    scene: Scene


class Album:
    """Draws things and writes their pictures into a folder, from one random generator."""

    def __init__(self, rng: np.random.Generator, folder: Path) -> None:
        self.rng = rng
        self._folder = folder
        self._count = 0

    def owner(self, user: str, things: Sequence[Thing]) -> Owner:
        """The user with those things, by distinct names; no fact holds one of the names."""
        names: list[str] = []
        while len(names) < len(things):
            name = sample_name(self.rng)
            if name not in names:
                names.append(name)
        return Owner(user, tuple(self._owned(n, t, names) for n, t in zip(names, things, strict=True)))

    def things(self, count: int) -> list[Thing]:
        """Distinct things."""
        found: dict[Thing, None] = {}
        while len(found) < count:
            found[sample_thing(self.rng, split="test")] = None
        return list(found)

    def strangers(self, owner: Owner, least: int, most: int) -> list[Thing]:
        """``least`` to ``most`` things that are not the owner's."""
        found: list[Thing] = []
        count = int(self.rng.integers(least, most + 1))
        while len(found) < count:
            thing = sample_thing(self.rng, split="test")
            if owner.named(thing) is None:
                found.append(thing)
        return found

    def some(self, owned: Sequence[Owned], count: int) -> list[Owned]:
        """``count`` different ones."""
        return [owned[int(i)] for i in self.rng.choice(len(owned), count, replace=False)]

    def photo(self, owner: Owner, things: Sequence[Thing], *, tag: str = "") -> Photo:
        """A picture of the things, with those named that are the owner's."""
        scene = sample_scene(self.rng, things, height=SIDE_PX, width=SIDE_PX)
        boxes = [tuple(float(v) for v in box) for box in scene.boxes_xyxy]
        shown = tuple(shown_as(owner.named(t), t, box) for t, box in zip(things, boxes, strict=True))
        return Photo(PackPicture(self._write(scene, "picture"), owner.user, shown, tag), scene)

    def library(self, owner: Owner) -> PackLibrary:
        """What the owner shows the service: a picture of each thing alone, with its box."""
        return PackLibrary(owner.user, tuple(self.concept(o) for o in owner.owned))

    def concept(self, owned: Owned, *, category: str | None = None) -> PackConcept:
        """The thing as a concept, under its own category or another word."""
        scene = sample_scene(self.rng, [owned.thing], height=SIDE_PX, width=SIDE_PX)
        avatar = NewAvatar(self._write(scene, "avatar"), tuple(float(v) for v in scene.boxes_xyxy[0]))
        word = owned.thing.category if category is None else category
        return PackConcept(owned.name, (avatar,), word, owned.info, owned.thing.category not in HELD_OUT)

    def _owned(self, name: str, thing: Thing, names: Sequence[str]) -> Owned:
        while names_in((fact := sample_fact(self.rng)).sentence, names):
            continue
        return Owned(name, thing, f"{info_text(thing, name, self.rng)} {fact.sentence}", fact)

    def _write(self, scene: Scene, kind: str) -> Path:
        path = self._folder / f"{kind}-{self._count:04d}.jpg"
        self._count += 1
        Image.fromarray(scene.image).save(path, quality=JPEG_QUALITY)
        return path


def shown_as(name: str | None, thing: Thing, box: tuple[float, ...]) -> Shown:
    """The thing as a picture's label says it."""
    return Shown(name, thing.category, box, KINDS[thing.category].group, thing.category not in HELD_OUT)
