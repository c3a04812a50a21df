"""Measures a detector on pictures of things that it never saw, and on photographs where there are some.

    python -m training.detector_figures --embedder models/tiny/embedder --out figures.json

Things of the categories it was trained on are asked for by their 20 categories. Things of the held-out
categories are asked for by the words of all groups, for a text tower that was trained on this world alone
cannot know the word "bus", and by "object".
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.domain.region import BoxXyxy, Region
from training.detector_scenes import sample_views
from training.detector_scores import Found, Labelled, average_precisions, naming, recall, recall_by_count
from training.world import CATEGORIES, GROUPS, HELD_OUT, Split, sample_scene, sample_thing
from training.world.things import KINDS

GENERIC = "object"
SCENES_SEED = 20_000
SIDE_PX = 320
MOST_THINGS = 6


def scenes(count: int, categories: Sequence[str], vocabulary: Sequence[str], split: Split = "test") -> list[Labelled]:
    """Pictures of one to six things of ``categories``, as many of each number; named by what ``vocabulary`` has."""
    rng = np.random.default_rng(SCENES_SEED)
    found = []
    for index in range(count):
        drawn = [categories[i] for i in rng.integers(0, len(categories), 1 + index % MOST_THINGS)]
        things = [sample_thing(rng, split=split, category=name) for name in drawn]
        scene = sample_scene(rng, things, height=SIDE_PX, width=SIDE_PX)
        named = ((thing.category, box) for thing, box in zip(scene.things, scene.boxes_xyxy.tolist(), strict=True))
        right = tuple((name if name in vocabulary else KINDS[name].group, _box(box)) for name, box in named)
        found.append(Labelled(np.ascontiguousarray(scene.image), tuple(vocabulary), right))
    return found


def views(count: int, vocabulary: Sequence[str], split: Split = "test") -> list[Labelled]:
    """Crowded, cut and zoomed views as training has them, the odd shapes and held-out categories left unnamed."""
    rng = np.random.default_rng(SCENES_SEED)
    found = []
    for view in islice(sample_views(rng, split=split), count):
        named = zip(view.things, view.boxes_xyxy.tolist(), strict=True)
        things = tuple((thing.category, _box(box)) for thing, box in named if thing is not None)
        found.append(Labelled(view.image, tuple(vocabulary), things))
    return found


def photographs(queries: Path) -> list[Labelled]:
    """Labelled photographs: each looks for its concepts' categories and for the generic word."""
    concepts = json.loads(queries.with_name("database.json").read_text())["concept_dict"].values()
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


def finding(pictures: Sequence[Labelled], found: Found) -> dict[str, Any]:
    """What can be said without looking at a label."""
    return {
        "pictures": len(pictures),
        "things": sum(len(picture.things) for picture in pictures),
        "regions_a_picture": float(np.mean([len(regions) for regions in found])),
        "recall": recall(pictures, found),
        "recall_at_overlap_0.3": recall(pictures, found, 0.3),
        "recall_by_number_of_things": recall_by_count(pictures, found),
    }


def naming_and_finding(pictures: Sequence[Labelled], found: Found) -> dict[str, Any]:
    """The same, with what needs labels: AP50 and naming, of each word and of all."""
    precisions = average_precisions(pictures, found)
    return {
        **finding(pictures, found),
        "map50": float(np.mean(list(precisions.values()))),
        "ap50": precisions,
        "named_rightly": naming(pictures, found),
    }


def milliseconds(detector: YoloWorldDetector, pictures: Sequence[Labelled], batch: int) -> float:
    """Median time per picture of a batch, preprocessing included."""

    def once(start: int) -> float:
        begin = time.perf_counter()
        detector.forward([detector.preprocess(p.image, p.vocabulary) for p in pictures[start : start + batch]])
        return (time.perf_counter() - begin) / batch * 1000

    return float(np.median([once(start) for start in range(0, 10 * batch, batch)]))


def figures(detector: YoloWorldDetector, count: int, photos: Sequence[Labelled], split: Split) -> dict[str, Any]:
    """Every figure; ``count`` pictures a set. Held-out categories are there in the test split only."""
    seen = scenes(count, CATEGORIES, CATEGORIES, split)
    sets = {"seen categories": seen, "seen categories by group": scenes(count, CATEGORIES, GROUPS, split)}
    sets["seen categories as object"] = [picture.as_one(GENERIC) for picture in seen]
    if split == "test":
        held_out = scenes(count, HELD_OUT, GROUPS)
        sets["held-out categories by group"] = held_out
        sets["held-out categories as object"] = [picture.as_one(GENERIC) for picture in held_out]
    result = {name: naming_and_finding(pictures, run(detector, pictures)) for name, pictures in sets.items()}
    mixed = views(count, (*CATEGORIES, GENERIC), split)
    result["views with odd shapes"] = finding(mixed, run(detector, mixed))
    if photos:
        result["photographs"] = finding(photos, run(detector, photos))
    result["milliseconds"] = {f"in a batch of {size}": milliseconds(detector, seen[:40], size) for size in (1, 4)}
    return result


def lines(result: dict[str, Any]) -> list[str]:
    """What a person wants to see of it."""
    shown = ("pictures", "map50", "recall", "recall_at_overlap_0.3", "regions_a_picture")
    text = []
    for name, values in result.items():
        if name == "milliseconds":
            text.append(f"{name}: " + ", ".join(f"{value:.0f} {what}" for what, value in values.items()))
        else:
            right = f" named {values['named_rightly']['all']:.3f}" if "named_rightly" in values else ""
            text.append(f"{name}: " + " ".join(f"{key} {values[key]:.4g}" for key in shown if key in values) + right)
    return text


def _box(values: Sequence[float]) -> BoxXyxy:
    x0, y0, x1, y1 = (float(v) for v in values)
    return (x0, y0, x1, y1)


def main() -> None:
    """Prints the figures of one checkpoint, and writes them where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="models/tiny/detector/yolo_world_tiny.pt")
    parser.add_argument("--embedder", default="models/tiny/embedder")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--confidence", type=float, default=0.02)
    parser.add_argument("--iou", type=float, default=0.7)
    parser.add_argument("--max-regions", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=300, help="in each set of drawn ones")
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--photographs", type=Path, help="queries.json with a database.json beside it")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    from rap_serve.adapters.open_clip import OpenClipEmbedder

    served = {name: getattr(options, name) for name in ("image_size", "confidence", "iou", "max_regions")}
    encoder = OpenClipEmbedder.load(options.embedder)
    detector = YoloWorldDetector.load(options.weights, text_encoder=encoder, threads=options.threads, **served)
    photos = photographs(options.photographs) if options.photographs else []
    result = figures(detector, options.pictures, photos, options.split)
    print(*lines(result), sep="\n")
    if options.out:
        record = {"detector": detector.version, "split": options.split, **served, **result}
        options.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
