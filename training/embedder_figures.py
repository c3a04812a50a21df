"""How well the embedder tells things apart, boxes given: ``python -m training.embedder_figures``.

    python -m training.embedder_figures --folder models/tiny/embedder --photographs FOLDER

On things of the ``test`` split, and on photographs (a folder with a RAP database, avatar boxes and queries), of which
nothing is trained on or chosen by. It changes nothing: ``training.calibrate`` writes what serving reads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rap_serve.adapters.open_clip import CARD, OpenClipEmbedder
from rap_serve.cli.console import tracked
from rap_serve.domain.region import BoxXyxy
from training.calibration_pictures import LIBRARY, Parts, boxes_of, embed_parts, stacked
from training.memory import keep_freed_memory
from training.world.scene import Scene, sample_scene
from training.world.things import Thing, sample_thing
from training.world.views import twin

Floats = NDArray[np.float32]
Shares = dict[str, float]

TOP = (1, 3, 5)
JITTER = 0.06
"""Standard deviation of a loose box's side, in widths or heights: about what a detector is off by."""


def measure_library(embedder: OpenClipEmbedder, rng: np.random.Generator, size: int, share: float) -> Shares:
    """Top-k of ``size`` test things, each asked for once with a loose box beside another thing."""
    things = sample_things(rng, size)
    avatars, queries = [], []
    for first in tracked(range(0, size, 2), "one library", size // 2):
        pair = things[first : first + 2]
        avatars += [_alone(embedder, thing, rng) for thing in pair]
        scene = sample_scene(rng, pair)
        queries.append(embed_parts(embedder, scene.image, _loose_boxes(scene, rng)))
    similarities = stacked(queries).joined(share) @ stacked(avatars).joined(share).T
    small = similarities.reshape(size // LIBRARY, LIBRARY, size // LIBRARY, LIBRARY)
    own = np.concatenate([small[i, :, i] for i in range(size // LIBRARY)])
    in_small = top_shares(own, np.arange(len(own)) % LIBRARY)
    return {**_named(in_small, f"of {LIBRARY}"), **_named(top_shares(similarities, np.arange(size)), f"of {size}")}


def measure_twins(embedder: OpenClipEmbedder, rng: np.random.Generator, pairs: int, share: float) -> Shares:
    """How often two things that differ in one attribute are told apart: in all, and by that attribute."""
    right: dict[str, list[bool]] = {}
    for _ in tracked(range(pairs), "twins", pairs):
        thing = sample_thing(rng, split="test")
        other, attribute = twin(thing, rng, split="test")
        avatars, queries = (
            stacked([_alone(embedder, one, rng) for one in (thing, other)]).joined(share) for _ in range(2)
        )
        told = (queries @ avatars.T).argmax(axis=1) == np.arange(2)
        right.setdefault(attribute, []).extend(told.tolist())
    every = [value for values in right.values() for value in values]
    by_attribute = {f"twins in {name}": float(np.mean(values)) for name, values in sorted(right.items())}
    return {"twins": float(np.mean(every)), **by_attribute}


def measure_photographs(embedder: OpenClipEmbedder, folder: Path, share: float) -> Shares:
    """Top-k on photographs, for the learned part, the colour and both."""
    concepts = json.loads((folder / "database.json").read_text())["concept_dict"]
    boxes = json.loads((folder / "avatar_boxes.json").read_text())
    names = [name.strip("<>") for name in concepts]
    avatars = [_photograph(embedder, folder, entry["image"], boxes[entry["image"]]) for entry in concepts.values()]
    queries, truth = [], []
    for query in json.loads((folder / "queries.json").read_text()):
        for item in query["objects"]:
            queries.append(_photograph(embedder, folder, query["image"], item["box_xyxy"]))
            truth.append(names.index(item["name"].strip("<>")))
    q, a = stacked(queries), stacked(avatars)
    rows = {"learned part": 0.0, "colour": 1.0, "both": share}
    found = {what: top_shares(q.joined(w) @ a.joined(w).T, np.array(truth)) for what, w in rows.items()}
    return {name: value for what, top in found.items() for name, value in _named(top, f"photographs, {what}").items()}


def top_shares(similarities: Floats, truth: NDArray[np.intp]) -> tuple[float, ...]:
    """The share of rows whose true column is among the best of each of TOP."""
    own = similarities[np.arange(len(truth)), truth]
    rank = (similarities > own[:, None]).sum(axis=1)
    return tuple(float((rank < k).mean()) for k in TOP)


def sample_things(rng: np.random.Generator, count: int) -> list[Thing]:
    """``count`` distinct test things, in no order."""
    things: dict[Thing, None] = {}
    while len(things) < count:
        things[sample_thing(rng, split="test")] = None
    return list(things)


def _named(top: Sequence[float], what: str) -> Shares:
    return {f"top-{k} {what}": value for k, value in zip(TOP, top, strict=True)}


def _alone(embedder: OpenClipEmbedder, thing: Thing, rng: np.random.Generator) -> Parts:
    scene = sample_scene(rng, [thing])
    return embed_parts(embedder, scene.image, boxes_of(scene))


def _loose_boxes(scene: Scene, rng: np.random.Generator) -> list[BoxXyxy]:
    loose = []
    for x0, y0, x1, y1 in boxes_of(scene):
        dx0, dx1 = rng.normal(0, JITTER, 2) * (x1 - x0)
        dy0, dy1 = rng.normal(0, JITTER, 2) * (y1 - y0)
        loose.append((x0 + dx0, y0 + dy0, x1 + dx1, y1 + dy1))
    return loose


def _photograph(embedder: OpenClipEmbedder, folder: Path, image: str, box: list[float]) -> Parts:
    pixels = cv2.imread(str(folder.parent / image), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(folder.parent / image)
    left, top, right, bottom = box
    rgb = np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)
    return embed_parts(embedder, rgb, [(left, top, right, bottom)])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--photographs", type=Path, default=None)
    parser.add_argument("--concepts", type=int, default=500, help=f"a multiple of {LIBRARY}")
    parser.add_argument("--pairs", type=int, default=200, help="twins")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()
    embedder = OpenClipEmbedder.load(str(options.folder), threads=1)
    share = float(json.loads((options.folder / CARD).read_text())["colour_weight"])
    rng = np.random.default_rng(options.seed)
    found = measure_library(embedder, rng, options.concepts, share)
    found |= measure_twins(embedder, rng, options.pairs, share)
    if options.photographs:
        found |= measure_photographs(embedder, options.photographs, share)
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
