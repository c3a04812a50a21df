"""The generated world is the same for the same seed, and keeps its splits apart."""

import ast
import re
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pytest

import training
from training.world import (
    ALL_CATEGORIES,
    CATEGORIES,
    GROUPS,
    HELD_OUT,
    Scene,
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
from training.world.facts import sample_fact
from training.world.scene import relations
from training.world.things import CURIO, KINDS, Split
from training.world.views import draw_several, lookalike, loose_crop, twin, view_batches


@pytest.mark.parametrize("category", ALL_CATEGORIES)
def test_every_category_draws_a_thing_that_fills_its_picture(category: str) -> None:
    """The alpha box reaches both ends along one side, and at least a tenth of it is covered."""
    rng = np.random.default_rng(3)
    picture = draw_thing(sample_thing(rng, split="test", category=category), rng, size=96)
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


SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@pytest.mark.parametrize("split", SPLITS)
def test_the_splits_share_no_thing(split: Split) -> None:
    """Every sampled thing, look-alike and twin belongs to the split asked for."""
    rng = np.random.default_rng(7)
    things = [sample_thing(rng, split=split) for _ in range(100)]
    things += [lookalike(thing, rng, split=split) for thing in things]
    things += [twin(thing, rng, split=split)[0] for thing in things]
    assert {split_of(thing) for thing in things} == {split}


def test_held_out_categories_are_drawn_for_the_test_split_alone() -> None:
    """Of 400 things each, train and dev have none of them and test has them all; to ask for one is an error."""
    rng = np.random.default_rng(8)
    seen = {split: {sample_thing(rng, split=split).category for _ in range(400)} for split in SPLITS}
    assert seen["train"] == seen["dev"] == set(CATEGORIES)
    assert seen["test"] == set(ALL_CATEGORIES) and set(HELD_OUT).isdisjoint(CATEGORIES)
    with pytest.raises(ValueError, match="held out"):
        sample_thing(rng, split="train", category="rabbit")


def test_contrastive_batches_hold_things_of_the_train_split_alone() -> None:
    """Families of look-alikes and curios included."""
    batches = view_batches(np.random.default_rng(9), things=24, side=32, pool=12, renewed=1, curios=0.5)
    things = [thing for _ in range(3) for thing in next(batches).things]
    assert {split_of(thing) for thing in things} == {"train"}
    assert {thing.category for thing in things} > {CURIO}


def test_curios_differ_in_shape_as_other_things_do_in_colour() -> None:
    """The same colours and pattern, another mark: another outline."""
    rng = np.random.default_rng(6)
    thing = sample_thing(rng, split="train", category=CURIO)
    others = [replace(thing, mark=mark) for mark in range(8)]
    outlines = {draw_thing(each, np.random.default_rng(0), size=32)[..., 3].tobytes() for each in others}
    assert len(outlines) == len(others)


MEASURES = {"detector_figures", "embedder_figures", "mllm_report"}
TRAINS = sorted({path.stem for path in Path(training.__file__).parent.glob("*.py")} - MEASURES)


@pytest.mark.parametrize("module", TRAINS)
def test_no_module_that_trains_or_tunes_names_the_test_split(module: str) -> None:
    """The word is in no expression of its source, nor are the categories that are held out."""
    tree = ast.parse((Path(training.__file__).parent / f"{module}.py").read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert "test" not in words
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not named & {"ALL_CATEGORIES", "HELD_OUT"}


def test_a_twin_differs_in_the_one_attribute_it_names() -> None:
    """And colours that are not drawn are never that attribute."""
    rng = np.random.default_rng(10)
    for _ in range(200):
        thing = sample_thing(rng, split="test")
        other, name = twin(thing, rng, split="test")
        pairs = zip(astuple(thing), astuple(other), fields(thing), strict=True)
        assert [f.name for a, b, f in pairs if a != b] == [name]
        assert name != "mark" and not (name == "accent" and thing.pattern == "plain")


def test_relations_say_who_is_on_which_side_both_ways() -> None:
    """Side by side; below and, where it covers a part of the other, in front."""
    rng = np.random.default_rng(12)
    things = tuple(sample_thing(rng, split="train") for _ in range(3))
    boxes = np.array([(0, 0, 10, 10), (30, 0, 40, 10), (0, 8, 10, 18)], np.float32)
    found = relations(Scene(np.zeros((40, 40, 3), np.uint8), things, boxes))
    assert {(0, "left of", 1), (1, "right of", 0), (2, "below", 0), (0, "above", 2), (2, "in front of", 0)} <= set(
        found
    )


def test_a_fact_answers_each_of_its_questions() -> None:
    """The sentence holds what the answer ends with, and each question has a place for the name."""
    rng = np.random.default_rng(13)
    for _ in range(50):
        fact = sample_fact(rng)
        assert fact.answer.split()[-1] in fact.sentence
        assert all(question.count("{}") == 1 for question in fact.questions)


def test_every_category_has_a_group() -> None:
    """The wider words are few, and none is a category itself; a curio's is no word that a detector learns."""
    assert {kind.group for kind in KINDS.values()} == {*GROUPS, KINDS[CURIO].group}
    assert len(GROUPS) == 10 and not set(GROUPS) & (set(ALL_CATEGORIES) - {"plant"})


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
