"""How words become what the detector learns."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rap_serve.adapters.yolo_world import GENERIC_WORDS  # noqa: E402
from training.detector import Stage, random_words  # noqa: E402
from training.detector_batches import (  # noqa: E402
    ALL_WORDS,
    WORDS_PER_PICTURE,
    Batches,
    collate,
    sample_vocabulary,
    truths_of,
    words_of,
)
from training.detector_scenes import View, compose, look, oddity  # noqa: E402
from training.world import sample_thing  # noqa: E402


def test_a_thing_is_what_its_category_its_synonyms_and_generic_words_say() -> None:
    """Every true word counts, whatever else is in the vocabulary."""
    thing = sample_thing(np.random.default_rng(0), split="train", category="dog")
    assert truths_of(thing, ("puppy", "object", "mug", "dog", "pet")).tolist() == [1, 1, 0, 1, 1]


def test_a_thing_without_a_category_is_an_object_only() -> None:
    """Odd shapes teach the generic words and nothing else."""
    assert truths_of(None, (*ALL_WORDS, *GENERIC_WORDS)).sum() == len(GENERIC_WORDS)


def test_vocabularies_fit_and_name_no_word_twice() -> None:
    """Between one word and the width of a batch."""
    rng = np.random.default_rng(1)
    things = [sample_thing(rng, split="train") for _ in range(6)]
    for _ in range(200):
        words = sample_vocabulary(things, rng)
        assert 1 <= len(words) <= WORDS_PER_PICTURE and len(set(words)) == len(words)


def test_batches_hold_what_their_vocabularies_name() -> None:
    """Boxes lie inside the picture; each has a true word; the same seed gives the same batch."""
    first, second = (next(iter(Batches([64], 4, seed=3))) for _ in range(2))
    assert torch.equal(first.pixels, second.pixels) and first.vocabularies == second.vocabularies
    assert first.boxes.min() >= 0 and first.boxes.max() <= 1
    for picture in range(len(first.pixels)):
        count = int((first.owners == picture).sum())
        assert first.truths[picture, :count].any(dim=-1).all()
        assert not first.truths[picture, count:].any()


def test_a_batch_may_show_nothing() -> None:
    """Backgrounds alone are a batch too."""
    empty = View(np.zeros((60, 80, 3), np.uint8), (), np.zeros((0, 4), np.float32))
    batch = collate([empty, empty], 64, np.random.default_rng(4))
    assert batch.boxes.shape == (0, 4) and batch.truths.shape == (2, 0, WORDS_PER_PICTURE)


def test_views_keep_boxes_inside_and_apart_from_their_scene() -> None:
    """Zooming and flipping move the boxes with the pixels."""
    rng = np.random.default_rng(5)
    scenes = [compose(rng, split="test") for _ in range(8)]
    for view in (look(scene, rng) for scene in scenes * 5):
        height, width = view.image.shape[:2]
        assert len(view.things) == len(view.boxes_xyxy)
        assert (view.boxes_xyxy >= 0).all() and (view.boxes_xyxy <= (width, height, width, height)).all()


def test_odd_shapes_have_one_outline() -> None:
    """All parts of a shape hang together, so that one box is right."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        count, _ = cv2.connectedComponents((oddity(rng, 80)[..., 3] > 0).astype(np.uint8))
        assert count == 2


def test_random_words_compose() -> None:
    """A phrase lies between its words, so that attributes can be learnt before the text tower is there."""
    red_mug, mug, dog = (random_words(text) for text in ("red mug", "mug", "dog"))
    assert red_mug @ mug > 0.5 > abs(float(red_mug @ dog))
    assert words_of(sample_thing(np.random.default_rng(0), split="train", category="mug"))[0] == "mug"


def test_a_stage_grows_its_pictures_and_lets_its_rate_fall() -> None:
    """Small pictures first, large ones last."""
    stage = Stage(steps=1000, rate=1.0, sizes=((0.5, (128, 160)), (0.5, (320,))), decay=True)
    assert [stage.size_at(step) for step in (0, 499, 500, 999)] == [128, 160, 320, 320]
    assert stage.rate_at(0) < stage.rate_at(250) > stage.rate_at(900) > 0
