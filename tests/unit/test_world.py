"""The generated world is the same for the same seed, and keeps its splits apart."""

import re

import numpy as np
import pytest

from training.world import (
    CATEGORIES,
    background,
    caption,
    describe,
    draw_thing,
    info_text,
    sample_name,
    sample_scene,
    sample_thing,
    split_of,
)
from training.world.draw import tight_box
from training.world.views import draw_several, lookalike, loose_crop


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_draws_a_thing_that_fills_its_picture(category: str) -> None:
    """The alpha box reaches both ends along one side, and at least a tenth of it is covered."""
    rng = np.random.default_rng(3)
    picture = draw_thing(sample_thing(rng, split="train", category=category), rng, size=96)
    x0, y0, x1, y1 = tight_box(picture)
    assert picture.shape == (96, 96, 4) and picture.dtype == np.uint8
    assert max(x1 - x0, y1 - y0) >= 92
    assert (picture[..., 3] > 127).mean() > 0.05


def test_the_same_seed_draws_the_same_scene() -> None:
    """Pictures, boxes, names and texts are functions of the generator's state."""

    def everything() -> tuple[bytes, bytes, str, str, str]:
        rng = np.random.default_rng(11)
        things = [sample_thing(rng, split="train") for _ in range(3)]
        scene = sample_scene(rng, things, height=160, width=200)
        name = sample_name(rng)
        texts = (name, describe(things[0], rng), info_text(things[1], name, rng))
        return scene.image.tobytes(), scene.boxes_xyxy.tobytes(), *texts

    assert everything() == everything()


def test_two_views_of_a_thing_differ_but_the_thing_does_not() -> None:
    """The view changes pixels; equality of things ignores it."""
    rng = np.random.default_rng(5)
    thing = sample_thing(rng, split="train")
    assert not np.array_equal(draw_thing(thing, rng, size=64), draw_thing(thing, rng, size=64))


def test_the_splits_share_no_thing() -> None:
    """Every sampled thing, and every look-alike made from one, belongs to the split asked for."""
    rng = np.random.default_rng(7)
    for split in ("train", "test"):
        things = [sample_thing(rng, split=split) for _ in range(100)]
        things += [lookalike(thing, rng, split=split) for thing in things]
        assert {split_of(thing) for thing in things} == {split}


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_boxes_lie_inside_the_picture_and_are_large_enough_to_see(count: int) -> None:
    """One box a thing, in order, none thinner than a few pixels."""
    rng = np.random.default_rng(count)
    things = [sample_thing(rng, split="test") for _ in range(count)]
    scene = sample_scene(rng, things, height=240, width=320)
    assert scene.image.shape == (240, 320, 3) and scene.boxes_xyxy.shape == (count, 4)
    assert scene.things == tuple(things)
    for x0, y0, x1, y1 in scene.boxes_xyxy:
        assert 0 <= x0 < x1 <= 320 and 0 <= y0 < y1 <= 240
        assert x1 - x0 >= 8 and y1 - y0 >= 8


def test_names_are_handles_from_an_open_set() -> None:
    """Lower-case letters, digits and hyphens; few repeats in a thousand."""
    rng = np.random.default_rng(1)
    names = [sample_name(rng) for _ in range(1000)]
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert len(set(names)) > 500


def test_info_holds_the_handle_and_the_main_colour() -> None:
    """A language model can find both in the text."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        thing = sample_thing(rng, split="train")
        text = info_text(thing, "bo", rng)
        assert text.count("<bo>") == 1 and thing.base in text
        assert thing.category in caption(thing)


def test_backgrounds_and_crops_have_the_size_asked_for() -> None:
    """Height comes before width, and a loose crop is square."""
    rng = np.random.default_rng(4)
    assert background(rng, 90, 120).shape == (90, 120, 3)
    drawn = draw_several(sample_thing(rng, split="train"), rng, side=96, count=2)
    assert loose_crop(drawn.drawings[0], drawn.drawings[1:], rng, side=96).shape == (96, 96, 3)
