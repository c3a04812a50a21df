"""The evaluation packs of the generated world."""

from pathlib import Path

import numpy as np
import pytest

from rap_serve.cli.eval.pack import Pack
from rap_serve.cli.eval.pack_file import read_pack
from rap_serve.cli.eval.registry import SUITES
from training.eval_packs.__main__ import write
from training.eval_packs.album import Album, Plan
from training.eval_packs.packs import MAKERS
from training.eval_packs.questions import key_words
from training.world.facts import Fact
from training.world.things import HELD_OUT, split_of


def made(suite: str, folder: Path, n: int = 2, library: int = 20) -> Pack:
    """The pack as it is read back; a bad record is refused."""
    write(suite, folder, Plan(n, library), seed=1)
    return read_pack(folder, bad="refuse")


def test_there_is_a_pack_for_every_suite() -> None:
    """By the same name."""
    assert set(MAKERS) == set(SUITES)


def test_things_are_distinct_and_none_was_trained_on(tmp_path: Path) -> None:
    """All of the test split."""
    things = Album(np.random.default_rng(1), tmp_path).things(30)
    assert len(set(things)) == 30 and {split_of(t) for t in things} == {"test"}


def test_the_same_seed_makes_the_same_pack(tmp_path: Path) -> None:
    """To the bytes of its pictures, so that two runs can be compared."""
    for folder in ("a", "b"):
        made("captioning", tmp_path / folder, 1)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


def test_captions_have_one_to_six_concepts(tmp_path: Path) -> None:
    """Of a library of twenty, with a fact in each info."""
    pack = made("captioning", tmp_path, 1)
    assert [len(p.names) for p in pack.pictures] == [1, 2, 4, 6]
    assert len(pack.libraries[0].concepts) == 20
    assert all(c.info.count(".") >= 2 and c.avatars[0].box_xyxy for c in pack.libraries[0].concepts)


@pytest.mark.parametrize("suite", ["vqa", "text-qa"])
def test_questions_have_two_options_or_words(suite: str, tmp_path: Path) -> None:
    """About what the info states, facts, and with pictures also places and looks."""
    pack = made(suite, tmp_path, 8)
    assert {q.kind for q in pack.questions} == {"choice", "open"}
    assert all(len(set(q.options.values())) == 2 for q in pack.questions if q.kind == "choice")
    expected = {"info", "fact"} | ({"place", "looks"} if suite == "vqa" else set())
    assert {q.about for q in pack.questions} == expected
    assert all((q.image is not None) == (suite == "vqa") for q in pack.questions)


def test_an_open_answer_stands_in_the_info(tmp_path: Path) -> None:
    """Whoever has read it can tell."""
    pack = made("text-qa", tmp_path, 10)
    infos = {c.name: c.info for c in pack.libraries[0].concepts}
    assert all(q.answer in infos[q.concept] for q in pack.questions if q.kind == "open")


def test_the_key_of_a_fact_is_what_was_asked_for() -> None:
    """Without the verb."""
    assert key_words(Fact("I bought it in Lisbon.", (), "is from Lisbon")) == "Lisbon"
    assert key_words(Fact("It is 12 years old.", (), "is 12 years old")) == "12 years old"
    assert key_words(Fact("It was a gift from my aunt.", (), "was a gift from my aunt")) == "aunt"


def test_recognition_asks_of_lookalikes_others_and_nothing(tmp_path: Path) -> None:
    """A question's answer is what its picture shows."""
    pack = made("recognition", tmp_path, 10)
    shown = {p.image: p.names for p in pack.pictures}
    assert {q.about for q in pack.questions} == {"", "other", "lookalike", "nothing"}
    assert all((q.concept in shown[q.image]) == (q.answer == "yes") for q in pack.questions if q.image)


def test_wrong_references_name_what_is_not_there(tmp_path: Path) -> None:
    """The thing in the picture is of the avatar's category, or of another, and never the avatar's."""
    pack = made("wrong-references", tmp_path, 4)
    kinds = {c.name: c.category for c in pack.libraries[0].concepts}
    for picture in pack.pictures:
        first = picture.objects[0]
        assert (kinds[str(first.name)] == first.category) == (picture.tag == "the same category")


def test_lookalikes_come_in_pairs_of_one_attribute(tmp_path: Path) -> None:
    """Each of the two has a picture."""
    pack = made("lookalikes", tmp_path, 3)
    assert len(pack.pairs) == 3 and len(pack.pictures) == 6
    assert {n for p in pack.pictures for n in p.names} == {n for p in pack.pairs for n in (p.first, p.second)}


def test_every_second_picture_of_negatives_shows_nothing_known(tmp_path: Path) -> None:
    """The others show one concept."""
    pack = made("negatives", tmp_path, 3)
    assert [len(p.names) for p in pack.pictures] == [0, 1] * 3
    assert all(o.box_xyxy for p in pack.pictures for o in p.objects)


def test_growing_libraries_are_asked_about_their_first_concepts(tmp_path: Path) -> None:
    """So that the same pictures fit every size."""
    pack = made("scaling", tmp_path, 3, 50)
    first = set(pack.libraries[0].names[:45])
    assert all(p.names <= first for p in pack.pictures)
    assert {q.concept for q in pack.questions} <= first


def test_the_detector_is_asked_in_wider_words_about_held_out_things(tmp_path: Path) -> None:
    """The vocabulary of a user is the categories of its concepts."""
    pack = made("detector", tmp_path, 2)
    held_out = [p for p in pack.pictures if p.tag == "held-out categories"]
    assert {o.category for p in held_out for o in p.objects} <= set(HELD_OUT)
    assert {p.user for p in held_out} == {"groups", "object"}
    words = {c.category for c in pack.library("groups").concepts}
    assert {o.group for p in held_out for o in p.objects} <= words
