"""Measure the trained embedder, choose the share of colour, and write both into its ``embedding.json``.

    python -m training.embedder_figures --folder models/tiny/embedder
    python -m training.embedder_figures --folder models/tiny/embedder --photographs FOLDER

The share and the calibration come from test-split things alone. Photographs (a folder with a RAP database,
avatar boxes and queries) are only measured.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rap_serve.adapters.open_clip import CARD, OpenClipEmbedder
from rap_serve.domain.colour import join_colour
from rap_serve.domain.region import BoxXyxy, Pixels
from training.memory import keep_freed_memory
from training.world.scene import Scene, sample_scene
from training.world.things import Thing, sample_thing
from training.world.views import lookalike

Floats = NDArray[np.float32]

LIBRARY = 20
FAMILY = 4
WEIGHTS = tuple(round(0.05 * i, 2) for i in range(1, 19))
TOLERANCE = 0.01
SURVIVAL = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The two parts of n embeddings before they are joined, each of norm 1: (n, d) and (n, k)."""

    learned: Floats
    colour: Floats

    def joined(self, weight: float) -> Floats:
        """The embeddings with that share of colour."""
        return join_colour(self.learned, self.colour, weight)


def sample_library(rng: np.random.Generator) -> list[Thing]:
    """LIBRARY test things, of which two families of FAMILY look alike."""
    things: list[Thing] = []
    for _ in range(2):
        first = sample_thing(rng, split="test")
        things += [first, *(lookalike(first, rng, split="test") for _ in range(FAMILY - 1))]
    return things + [sample_thing(rng, split="test") for _ in range(LIBRARY - len(things))]


def embed_parts(embedder: OpenClipEmbedder, picture: Pixels, boxes: list[BoxXyxy]) -> Parts:
    """The parts of the boxes' embeddings, whatever share of colour the embedder has now."""
    vectors = embedder.forward(embedder.preprocess(picture, boxes))
    learned, colour = vectors[:, : embedder.text_dim], vectors[:, embedder.text_dim :]
    return Parts(*(part / np.linalg.norm(part, axis=1, keepdims=True) for part in (learned, colour)))


def measure_libraries(embedder: OpenClipEmbedder, rng: np.random.Generator, count: int) -> tuple[Parts, Parts]:
    """Queries (loose boxes in crowded scenes) and avatars (a box in a scene of its own), row by row the same thing."""
    queries, avatars = [], []
    for _ in range(count):
        things = sample_library(rng)
        for start in range(0, LIBRARY, 2):
            scene = sample_scene(rng, things[start : start + 2])
            queries.append(embed_parts(embedder, scene.image, _loose_boxes(scene, rng)))
        for thing in things:
            scene = sample_scene(rng, [thing])
            avatars.append(embed_parts(embedder, scene.image, _boxes(scene)))
    return _stacked(queries), _stacked(avatars)


def top_shares(similarities: Floats, truth: NDArray[np.intp]) -> tuple[float, float, float]:
    """The share of rows whose true column is among the best 1, 3 and 5."""
    own = similarities[np.arange(len(truth)), truth]
    rank = (similarities > own[:, None]).sum(axis=1)
    return float((rank < 1).mean()), float((rank < 3).mean()), float((rank < 5).mean())


def library_top1(queries: Floats, avatars: Floats) -> float:
    """Top-1 within each library of LIBRARY consecutive rows."""
    q, a = (part.reshape(-1, LIBRARY, part.shape[1]) for part in (queries, avatars))
    best = (q @ a.transpose(0, 2, 1)).argmax(axis=2)
    return float((best == np.arange(LIBRARY)).mean())


def choose_weight(queries: Parts, avatars: Parts) -> tuple[float, dict[float, float]]:
    """The largest share of colour that costs at most TOLERANCE of the best top-1, and the whole sweep.

    The largest, since colour was not learned from this world and holds in photographs of any other.
    """
    sweep = {w: library_top1(queries.joined(w), avatars.joined(w)) for w in WEIGHTS}
    return max(w for w, top1 in sweep.items() if top1 >= max(sweep.values()) - TOLERANCE), sweep


def calibrate(queries: Floats, avatars: Floats) -> dict[str, dict[str, object]]:
    """What the similarities mean: of a query to its own avatar, and to libraries that lack it.

    The logistic separates the own avatar from the best of another library, as often the one as the other.
    The tail is of all single comparisons with other libraries.
    """
    similarities = queries @ avatars.T
    libraries = len(queries) // LIBRARY
    library = np.arange(len(queries)) // LIBRARY
    best = similarities.reshape(len(queries), libraries, LIBRARY).max(axis=2)
    absent = best[np.arange(len(queries)), (library + 1) % libraries]
    slope, midpoint = fit_logistic(np.diagonal(similarities), absent)
    impostors = np.sort(similarities[library[:, None] != library])[::-1]
    tail = [float(impostors[int(share * len(impostors))]) for share in SURVIVAL]
    return {
        "logistic": {"slope": round(slope, 3), "midpoint": round(midpoint, 4)},
        "impostor_tail": {"survival": list(SURVIVAL), "similarity": [round(value, 4) for value in tail]},
    }


def fit_logistic(genuine: Floats, impostor: Floats) -> tuple[float, float]:
    """Slope and midpoint of the likeliest logistic, by Newton's method on standardised similarities."""
    x = np.concatenate([genuine, impostor]).astype(np.float64)
    y = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    centre, spread = x.mean(), x.std()
    design = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)
    beta = np.zeros(2)
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ beta))
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        beta += np.linalg.solve(curvature, design.T @ (y - p))
    return float(beta[0] / spread), float(centre - spread * beta[1] / beta[0])


def write_card(folder: Path, weight: float, calibration: dict[str, dict[str, object]]) -> dict[str, object]:
    """The notes of the folder with the share of colour, which is part of the version, and the calibration."""
    card = folder / CARD
    notes = json.loads(card.read_text())
    weights = str(notes["version"]).split("+")[0]
    notes |= {"version": f"{weights}+c{round(100 * weight):02d}", "colour_weight": weight, "calibration": calibration}
    card.write_text(json.dumps(notes, indent=2) + "\n")
    return dict(notes)


def measure_photographs(embedder: OpenClipEmbedder, folder: Path, weight: float) -> dict[str, tuple[float, ...]]:
    """Top-1, 3 and 5 on photographs, boxes given, for the learned part, the colour and both."""
    concepts = json.loads((folder / "database.json").read_text())["concept_dict"]
    boxes = json.loads((folder / "avatar_boxes.json").read_text())
    names = [name.strip("<>") for name in concepts]
    avatars = [_photograph(embedder, folder, entry["image"], boxes[entry["image"]]) for entry in concepts.values()]
    queries, truth = [], []
    for query in json.loads((folder / "queries.json").read_text()):
        for item in query["objects"]:
            queries.append(_photograph(embedder, folder, query["image"], item["box_xyxy"]))
            truth.append(names.index(item["name"].strip("<>")))
    q, a = _stacked(queries), _stacked(avatars)
    rows = {"learned": 0.0, "colour": 1.0, "joined": weight}
    return {name: top_shares(q.joined(w) @ a.joined(w).T, np.array(truth)) for name, w in rows.items()}


def _photograph(embedder: OpenClipEmbedder, folder: Path, image: str, box: list[float]) -> Parts:
    pixels = cv2.imread(str(folder.parent / image), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(folder.parent / image)
    left, top, right, bottom = box
    rgb = np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)
    return embed_parts(embedder, rgb, [(left, top, right, bottom)])


def _boxes(scene: Scene) -> list[BoxXyxy]:
    return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in scene.boxes_xyxy]


def _loose_boxes(scene: Scene, rng: np.random.Generator) -> list[BoxXyxy]:
    """The boxes as a detector gives them, each side off by some per cent."""
    loose = []
    for x0, y0, x1, y1 in _boxes(scene):
        dx0, dx1 = rng.normal(0, 0.06, 2) * (x1 - x0)
        dy0, dy1 = rng.normal(0, 0.06, 2) * (y1 - y0)
        loose.append((x0 + dx0, y0 + dy0, x1 + dx1, y1 + dy1))
    return loose


def _stacked(parts: list[Parts]) -> Parts:
    return Parts(np.concatenate([p.learned for p in parts]), np.concatenate([p.colour for p in parts]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--photographs", type=Path, default=None)
    parser.add_argument("--libraries", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()
    embedder = OpenClipEmbedder.load(str(options.folder), threads=1)
    queries, avatars = measure_libraries(embedder, np.random.default_rng(options.seed), options.libraries)
    weight, sweep = choose_weight(queries, avatars)
    calibration = calibrate(queries.joined(weight), avatars.joined(weight))
    notes = write_card(options.folder, weight, calibration)
    print(json.dumps({"top1_by_colour_weight": sweep, **notes}, indent=2))
    if options.photographs:
        print(json.dumps(measure_photographs(embedder, options.photographs, weight), indent=2))


if __name__ == "__main__":
    main()
