"""The detector adapter against the network that ships with the project."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rap_serve.adapters.open_clip import OpenClipEmbedder
from rap_serve.adapters.yolo_world import Prepared, YoloWorldDetector, distinct
from rap_serve.domain.errors import InvalidImage, InvalidInput
from rap_serve.domain.region import Pixels, Region, intersection_over_union
from training.world import CATEGORIES, GROUPS, HELD_OUT, Scene, sample_scene, sample_thing
from training.world.things import KINDS

MODELS = Path(__file__).parents[2] / "models/tiny"
WEIGHTS = MODELS / "detector/yolo_world_tiny.pt"
ENGINE_NOISE_PX = 1e-2
"""Kernels differ with the shape of a batch in the last bits of a float, nowhere else."""


class WordVectors:
    """A text encoder with a direction of its own for each word; it notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_texts(self, texts: list[str]) -> NDArray[np.float32]:
        self.asked += texts
        rows = [np.random.default_rng(sum(map(ord, text))).standard_normal(512) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture(scope="module")
def encoder() -> WordVectors:
    return WordVectors()


@pytest.fixture(scope="module")
def detector(encoder: WordVectors) -> YoloWorldDetector:
    """Counts every box, so that the tests do not depend on how well the words fit."""
    return YoloWorldDetector.load(str(WEIGHTS), text_encoder=encoder, image_size=160, confidence=1e-5, threads=1)


def picture(seed: int, height: int, width: int) -> Pixels:
    """Smooth blobs on noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (height, width, 3), np.uint8)
    for _ in range(4):
        y, x = int(rng.integers(height // 2)), int(rng.integers(width // 2))
        pixels[y : y + height // 3, x : x + width // 3] = rng.integers(60, 256, 3)
    return pixels


def assert_same(first: tuple[Region, ...], second: tuple[Region, ...]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.label == other.label
        np.testing.assert_allclose(one.box_xyxy, other.box_xyxy, atol=ENGINE_NOISE_PX)
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.fixture(scope="module")
def mixed(detector: YoloWorldDetector) -> list[Prepared]:
    """Pictures of different shapes with vocabularies of different widths."""
    return [
        detector.preprocess(picture(1, 200, 320), ("mug",)),
        detector.preprocess(picture(2, 320, 200), ("dog", "cat", "bowl", "object")),
        detector.preprocess(picture(3, 90, 90), tuple(f"word {i}" for i in range(30))),
    ]


def test_a_picture_gives_the_same_regions_alone_and_in_a_mixed_batch(
    detector: YoloWorldDetector, mixed: list[Prepared]
) -> None:
    """Neither the neighbours' pixels nor their longer vocabularies leak in."""
    together = detector.forward(mixed)
    for item, regions in zip(mixed, together, strict=True):
        assert_same(detector.forward([item])[0], regions)


def test_padding_words_never_label_a_region(detector: YoloWorldDetector, mixed: list[Prepared]) -> None:
    """Each region of a batch is labelled with a word of its own picture's vocabulary."""
    for item, regions in zip(mixed, detector.forward(mixed), strict=True):
        assert {region.label for region in regions} <= set(item.vocabulary)


def test_boxes_lie_inside_their_picture_surest_first(detector: YoloWorldDetector, mixed: list[Prepared]) -> None:
    """Boxes are in pixels of the original picture, at least one pixel wide and high, at most twelve."""
    for item, regions in zip(mixed, detector.forward(mixed), strict=True):
        width, height = item.size_px
        scores = [region.score for region in regions]
        assert scores == sorted(scores, reverse=True) and len(regions) <= 12
        for x0, y0, x1, y1 in (region.box_xyxy for region in regions):
            assert 0 <= x0 <= x1 - 1 <= width - 1 and 0 <= y0 <= y1 - 1 <= height - 1


def test_a_word_nobody_has_used_before_needs_no_reload(detector: YoloWorldDetector, encoder: WordVectors) -> None:
    """New words are encoded once, together, and the network and its version stay."""
    version = detector.version
    for vocabulary in (("left-handed mug", "zebra"), ("zebra", "left-handed mug")):
        assert detector.forward([detector.preprocess(picture(4, 120, 160), vocabulary)])[0]
    assert encoder.asked.count("zebra") == encoder.asked.count("left-handed mug") == 1
    assert detector.version == version


def test_the_version_changes_with_what_changes_the_regions(detector: YoloWorldDetector, encoder: WordVectors) -> None:
    """Features of another image size must not be taken for these."""
    other = YoloWorldDetector.load(str(WEIGHTS), text_encoder=encoder, image_size=192, threads=1)
    assert other.version != detector.version


@pytest.mark.parametrize("vocabulary", [(), ("mug", " ")])
def test_a_vocabulary_without_words_is_refused(detector: YoloWorldDetector, vocabulary: tuple[str, ...]) -> None:
    """The caller decides on a fallback; the adapter does not guess one."""
    with pytest.raises(InvalidInput, match="vocabulary"):
        detector.preprocess(picture(1, 60, 60), vocabulary)


def test_what_is_not_a_picture_fails_before_the_batch(detector: YoloWorldDetector) -> None:
    """A grey picture is turned away alone."""
    with pytest.raises(InvalidImage):
        detector.preprocess(np.zeros((60, 60), np.uint8), ("mug",))


def test_no_pictures_give_no_regions(detector: YoloWorldDetector) -> None:
    """An empty batch is no error."""
    assert detector.forward([]) == []


def test_a_generic_word_finds_but_does_not_label_what_another_word_names(
    detector: YoloWorldDetector,
) -> None:
    """At a confidence that every word reaches, no region is labelled with the generic one."""
    found = detector.forward([detector.preprocess(picture(5, 160, 160), ("object", "mug", "dog"))])[0]
    assert found and {region.label for region in found} <= {"mug", "dog"}
    assert detector.forward([detector.preprocess(picture(5, 160, 160), ("object",))])[0]


def test_of_boxes_that_overlap_the_surest_stays() -> None:
    """Whatever their labels, two boxes of one thing become one region."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    assert distinct(boxes, 0.6, among=np.array([True, True, True])) == [0, 2]
    assert distinct(boxes, 0.6, among=np.array([False, True, True])) == [1, 2]


@pytest.fixture(scope="module")
def served() -> YoloWorldDetector:
    """As the local profile serves it, with the text tower that it was trained with."""
    encoder = OpenClipEmbedder.load(str(MODELS / "embedder"))
    return YoloWorldDetector.load(
        str(WEIGHTS), text_encoder=encoder, image_size=224, confidence=0.02, iou=0.7, threads=1
    )


def scenes(count: int, categories: tuple[str, ...]) -> list[Scene]:
    """Drawn pictures of one to three things that training never saw."""
    rng = np.random.default_rng(7)
    drawn = [[categories[i] for i in rng.integers(0, len(categories), 1 + n % 3)] for n in range(count)]
    return [sample_scene(rng, [sample_thing(rng, split="test", category=name) for name in names]) for names in drawn]


def labels(detector: YoloWorldDetector, scene: Scene, vocabulary: tuple[str, ...]) -> list[str | None]:
    """Of each thing what the region that fits it best is called; None where none overlaps it by half."""
    found = detector.forward([detector.preprocess(np.ascontiguousarray(scene.image), vocabulary)])[0]
    names: list[str | None] = []
    for x0, y0, x1, y1 in scene.boxes_xyxy.tolist():
        overlaps = [intersection_over_union((x0, y0, x1, y1), region.box_xyxy) for region in found]
        best = int(np.argmax(overlaps)) if overlaps else -1
        names.append(found[best].label if best >= 0 and overlaps[best] >= 0.5 else None)
    return names


def test_most_things_are_found_and_called_by_their_category(served: YoloWorldDetector) -> None:
    """Of all seen categories; things that training never saw, of categories that it did."""
    right: list[bool] = []
    found: list[bool] = []
    for scene in scenes(36, CATEGORIES):
        for thing, label in zip(scene.things, labels(served, scene, CATEGORIES), strict=True):
            found.append(label is not None)
            right.append(label == thing.category)
    assert np.mean(found) > 0.9 and np.mean(right) > 0.6


def test_things_of_unknown_categories_are_found_and_called_by_their_group(served: YoloWorldDetector) -> None:
    """A rabbit is an animal, to a detector that has seen dogs and foxes alone. Chance: one in ten."""
    right: list[bool] = []
    found: list[bool] = []
    for scene in scenes(150, HELD_OUT):
        for thing, label in zip(scene.things, labels(served, scene, GROUPS), strict=True):
            found.append(label is not None)
            right.append(label == KINDS[thing.category].group)
    assert np.mean(found) > 0.9 and np.mean(right) > 0.5
