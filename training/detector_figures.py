"""Measures a detector on held-out scenes, and on photographs where there are some.

python -m training.detector_figures --embedder models/tiny/embedder
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rap_serve.adapters.yolo_world import TextEncoder, YoloWorldDetector
from rap_serve.domain.region import BoxXyxy, Pixels, Region, intersection_over_union
from training.detector_scenes import sample_views
from training.world import CATEGORIES

GENERIC = "object"
OVERLAP = 0.5
SCENES_SEED = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture, what to look for in it, and what there is: a category and a box each."""

    image: Pixels
    vocabulary: tuple[str, ...]
    things: tuple[tuple[str, BoxXyxy], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """``recall``: share of things that some region, whatever its label, overlaps by half or more.

    ``loose_recall``: the same for regions that overlap by 0.3. ``regions``: mean number per picture.
    """

    recall: float
    loose_recall: float
    regions: float
    pictures: int


def scenes(count: int, vocabulary: tuple[str, ...] = (*CATEGORIES, GENERIC)) -> list[Labelled]:
    """Scenes of things that training never saw, the odd shapes without a category left out."""
    rng = np.random.default_rng(SCENES_SEED)
    found = []
    for view in islice(sample_views(rng, split="test"), count):
        named = zip(view.things, view.boxes_xyxy.tolist(), strict=True)
        things = tuple((thing.category, _box(box)) for thing, box in named if thing is not None)
        found.append(Labelled(view.image, vocabulary, things))
    return found


def photographs(queries: Path, database: Path) -> list[Labelled]:
    """Labelled photographs: each looks for its concepts' categories and for the generic word."""
    concepts = json.loads(database.read_text())["concept_dict"].values()
    category = {concept["name"]: concept["category"] for concept in concepts}
    found = []
    for query in json.loads(queries.read_text()):
        image = cv2.imread(str(queries.parent.parent / query["image"]))
        assert image is not None, query["image"]
        things = tuple((category[o["name"]], _box(o["box_xyxy"])) for o in query["objects"])
        vocabulary = tuple(dict.fromkeys([*(name for name, _ in things), GENERIC]))
        found.append(Labelled(np.asarray(image[..., ::-1], np.uint8), vocabulary, things))
    return found


def run(detector: YoloWorldDetector, pictures: Sequence[Labelled]) -> list[tuple[Region, ...]]:
    """The regions of each picture, one picture at a time."""
    return [detector.forward([detector.preprocess(p.image, p.vocabulary)])[0] for p in pictures]


def figures(pictures: Sequence[Labelled], found: Sequence[tuple[Region, ...]]) -> Figures:
    """Recall without regard to labels."""
    best = [
        max((intersection_over_union(box, region.box_xyxy) for region in regions), default=0.0)
        for picture, regions in zip(pictures, found, strict=True)
        for _, box in picture.things
    ]
    overlaps = np.array(best)
    return Figures(
        float((overlaps >= OVERLAP).mean()),
        float((overlaps >= 0.3).mean()),
        float(np.mean([len(regions) for regions in found])),
        len(pictures),
    )


def mean_average_precision(pictures: Sequence[Labelled], found: Sequence[tuple[Region, ...]]) -> float:
    """mAP50 over the categories that occur: area under the interpolated precision-recall curve."""
    names = sorted({name for picture in pictures for name, _ in picture.things})
    return float(np.mean([_average_precision(name, pictures, found) for name in names]))


def _average_precision(name: str, pictures: Sequence[Labelled], found: Sequence[tuple[Region, ...]]) -> float:
    scored: list[tuple[float, bool]] = []
    total = 0
    for picture, regions in zip(pictures, found, strict=True):
        free = [box for label, box in picture.things if label == name]
        total += len(free)
        for region in regions:
            if region.label != name:
                continue
            overlaps = [intersection_over_union(box, region.box_xyxy) for box in free]
            hit = bool(overlaps) and max(overlaps) >= OVERLAP
            scored.append((region.score, hit))
            if hit:
                free.pop(int(np.argmax(overlaps)))
    hits = np.array([hit for _, hit in sorted(scored, key=lambda item: -item[0])], np.float64)
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope: NDArray[np.float64] = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def milliseconds(detector: YoloWorldDetector, pictures: Sequence[Labelled], batch: int) -> float:
    """Median time per picture of a batch, preprocessing included."""

    def once(start: int) -> float:
        begin = time.perf_counter()
        detector.forward([detector.preprocess(p.image, p.vocabulary) for p in pictures[start : start + batch]])
        return (time.perf_counter() - begin) / batch * 1000

    return float(np.median([once(start) for start in range(0, 10 * batch, batch)]))


def report(detector: YoloWorldDetector, photos: Sequence[Labelled], count: int, show: Callable[[str], None]) -> None:
    """One line per set of pictures."""
    for name, pictures in (
        ("scenes, categories + object", scenes(count)),
        ("scenes, categories", scenes(count, CATEGORIES)),
        ("scenes, object", scenes(count, (GENERIC,))),
        ("photographs", photos),
    ):
        if pictures:
            found = run(detector, pictures)
            show(f"{name}: {figures(pictures, found)} mAP50 {mean_average_precision(pictures, found):.3f}")
    timed = scenes(40)
    alone, of_four = (milliseconds(detector, timed, size) for size in (1, 4))
    show(f"ms a picture: {alone:.0f} alone, {of_four:.0f} in a batch of 4")


def _box(values: Sequence[float]) -> BoxXyxy:
    x0, y0, x1, y1 = (float(v) for v in values)
    return (x0, y0, x1, y1)


def main() -> None:
    """Prints the figures of one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="models/tiny/detector/yolo_world_tiny.pt")
    parser.add_argument("--embedder", default="models/tiny/embedder")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--confidence", type=float, default=0.02)
    parser.add_argument("--iou", type=float, default=0.7)
    parser.add_argument("--max-regions", type=int, default=12)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--photographs", type=Path, help="queries.json with a database.json beside it")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    from rap_serve.adapters.open_clip import OpenClipEmbedder

    encoder: TextEncoder = OpenClipEmbedder.load(options.embedder)
    detector = YoloWorldDetector.load(
        options.weights,
        text_encoder=encoder,
        image_size=options.image_size,
        confidence=options.confidence,
        iou=options.iou,
        max_regions=options.max_regions,
        threads=options.threads,
    )
    path = options.photographs
    report(detector, photographs(path, path.with_name("database.json")) if path else [], options.scenes, print)


if __name__ == "__main__":
    main()
