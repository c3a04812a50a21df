"""The evaluation on generated things."""

from pathlib import Path

import numpy as np

from training.evaluate_world import Library, judge, sample_cases, sample_things
from training.world.things import split_of


def library(size: int = 6) -> Library:
    """A library of things by sampled names."""
    return Library("someone", sample_things(np.random.default_rng(1), size))


def test_libraries_hold_distinct_things_that_training_never_saw() -> None:
    """All of the test split."""
    things = list(library(20).things.values())
    assert len(things) == len(set(things)) == 20
    assert {split_of(t) for t in things} == {"test"}


def test_a_picture_shows_one_remembered_thing_and_a_negative_none(tmp_path: Path) -> None:
    """A quarter as many negatives as pictures; each file is there."""
    cases = sample_cases([library()], np.random.default_rng(2), tmp_path, 8)
    assert [len(c.picture.targets) for c in cases] == [1] * 8 + [0] * 2
    assert all(c.picture.picture.is_file() for c in cases)


def test_the_same_seed_makes_the_same_pictures(tmp_path: Path) -> None:
    """So that two runs can be compared."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sample_cases([library()], np.random.default_rng(3), tmp_path / folder, 2)
    assert (tmp_path / "a" / "case1.png").read_bytes() == (tmp_path / "b" / "case1.png").read_bytes()


def test_an_answer_is_judged_by_the_names_it_says() -> None:
    """A handle that nobody has is a wrong name, a thing's kind is none."""
    names = list(library().things)
    expected = frozenset({names[0]})
    assert judge(f"This is <{names[0]}>, a mug.", library(), expected) == (expected, frozenset())
    assert judge(f"{names[0]} and {names[1]}", library(), expected) == (expected, frozenset({names[1]}))
    assert judge("This is <zzz>.", library(), expected) == (frozenset(), frozenset({"zzz"}))
    assert judge("A mug on a table.", library(), expected) == (frozenset(), frozenset())
