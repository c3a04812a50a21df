"""Pictures out of the generated world, where the truth about everything is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.data.crops import jpeg
from training.data.drafts import Candidate, Draft, Material
from training.world.facts import sample_fact
from training.world.scene import relations, sample_scene
from training.world.text import caption, describe
from training.world.things import Split, Thing, sample_thing
from training.world.views import draw_several, loose_crop, twin

THINGS = (1, 2, 3, 4)
THINGS_SHARES = (0.35, 0.35, 0.2, 0.1)
MOST_PRESENT = 3
ABSENT = 3
VIEWS = 2
AVATAR_SIDE_PX = 112
SIDES_PX = (224, 337)
REMARK_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class WorldSource:
    """Scenes of things of one split, with avatars that are drawn anew from another side."""

    split: Split = "train"

    @property
    def count(self) -> None:
        return None

    @property
    def settings(self) -> dict[str, Any]:
        return {"source": "world", "split": self.split}

    def material(self, places: range, *, seed: int, folder: str) -> Material:
        """See ``Source``; each picture is a function of the seed and its place alone."""
        files: dict[str, bytes] = {}
        drafts = tuple(self._draft(place, np.random.default_rng([seed, place, 0]), folder, files) for place in places)
        return Material(drafts=drafts, files=files)

    def _draft(self, place: int, rng: np.random.Generator, folder: str, files: dict[str, bytes]) -> Draft:
        things = self._things(rng)
        height, width = (int(v) for v in rng.integers(*SIDES_PX, size=2))
        scene = sample_scene(rng, things, height=height, width=width)
        stem = f"{folder}/{place:08d}"
        files[f"{stem}.jpg"] = jpeg(scene.image)
        candidates = [
            _candidate(thing, rng, f"{stem}-{number}", files)
            for number, thing in enumerate([*things[:MOST_PRESENT], *self._strangers(things, rng)])
        ]
        count = min(len(things), MOST_PRESENT)
        extent = np.array([width, height, width, height])
        fractions = np.clip(scene.boxes_xyxy[:count] / extent, 0, 1).round(4).tolist()
        boxes = [(box[0], box[1], box[2], box[3]) for box in fractions]
        present = [replace(c, box=box) for c, box in zip(candidates[:count], boxes, strict=True)]
        return Draft(
            place=place,
            picture=f"{stem}.jpg",
            present=tuple(present),
            absent=tuple(candidates[count:]),
            others=tuple(caption(thing) for thing in things[count:]),
            relations=tuple((i, words, j) for i, words, j in relations(scene) if i < count and j < count),
        )

    def _things(self, rng: np.random.Generator) -> list[Thing]:
        count, things = int(rng.choice(THINGS, p=THINGS_SHARES)), list[Thing]()
        while len(things) < count:
            thing = sample_thing(rng, split=self.split)
            if thing not in things:
                things.append(thing)
        return things

    def _strangers(self, things: list[Thing], rng: np.random.Generator) -> list[Thing]:
        """Things that are not in the picture: near twins of those that are, others of their kind, any."""
        strangers: list[Thing] = []
        while len(strangers) < ABSENT:
            like = things[int(rng.integers(len(things)))]
            kind = rng.random()
            if kind < 0.35:
                thing, _ = twin(like, rng, split=self.split)
            else:
                thing = sample_thing(rng, split=self.split, category=like.category if kind < 0.65 else None)
            if thing not in things and thing not in strangers:
                strangers.append(thing)
        return strangers


def _candidate(thing: Thing, rng: np.random.Generator, stem: str, files: dict[str, bytes]) -> Candidate:
    crops = tuple(f"{stem}-{view}.jpg" for view in range(VIEWS))
    for path, drawing in zip(crops, draw_several(thing, rng, side=AVATAR_SIDE_PX, count=VIEWS).drawings, strict=True):
        files[path] = jpeg(loose_crop(drawing, (), rng, side=AVATAR_SIDE_PX))
    fact = sample_fact(rng) if rng.random() < REMARK_SHARE else None
    about = [(question, f"{{}} {fact.answer}.") for question in fact.questions] if fact else []
    return Candidate(
        key=repr(thing),
        category=thing.category,
        crops=crops,
        phrase=describe(thing, rng),
        remark=fact.sentence if fact else "",
        questions=(*_looks(thing), *about),
    )


def _looks(thing: Thing) -> list[tuple[str, str]]:
    """What the picture answers."""
    worn = "{} is plain." if thing.pattern == "plain" else f"{{}} has {_pattern(thing)}."
    return [
        ("What colour is {}?", f"{{}} is {thing.base}."),
        ("What pattern does {} have?", worn),
        ("What kind of thing is {}?", f"{{}} is a {thing.category}."),
    ]


def _pattern(thing: Thing) -> str:
    return f"a wide {thing.accent} band" if thing.pattern == "a wide band" else f"{thing.accent} {thing.pattern}"
