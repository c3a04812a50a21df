"""The conversations that the tiny MLLM learns from."""

import numpy as np
import pytest

from rap_serve.domain.prompt import ImagePart, as_text, handle
from training.mllm_album import Album, blind_album, draw_album, place_of
from training.mllm_data import Case, corpus, sample_case
from training.mllm_words import names_in
from training.world.things import split_of

KINDS = ("one", "several", "mixed", "wrong", "bare", "text", "talk")


@pytest.fixture(scope="module")
def album() -> Album:
    """A few drawn things and pictures."""
    return draw_album(np.random.default_rng(0), split="train", things=24, shown=40)


def cases(album: Album, kind: str, count: int = 60) -> list[Case]:
    rng = np.random.default_rng(1)
    return [sample_case(album, rng, kind=kind) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_names_exactly_what_it_says_it_names(album: Album, kind: str) -> None:
    """The handles in the words are those of ``named``, all of them the names of blocks in the prompt."""
    for case in cases(album, kind):
        for exchange in (e for dialogue in case.dialogues for e in dialogue):
            assert set(names_in(exchange.answer)) == set(exchange.named)
            assert set(exchange.named) <= {note.name for note in case.notes}


def test_open_questions_name_only_what_the_picture_shows(album: Album) -> None:
    """A block of a thing that is not in the picture is never named when someone asks what is there."""
    for case in [*cases(album, "mixed"), *cases(album, "wrong"), *cases(album, "several")]:
        assert case.shown
        there = {note.name for note in case.notes if note.thing in case.shown.things}
        for exchange in (e for dialogue in case.dialogues for e in dialogue):
            if exchange.kind in ("what", "caption", "which"):
                assert set(exchange.named) == there


def test_recognition_says_yes_exactly_to_what_is_there(album: Album) -> None:
    """Yes to a thing in the picture, no to any other."""
    seen = set()
    for case in cases(album, "mixed", 200):
        assert case.shown
        there = {note.name for note in case.notes if note.thing in case.shown.things}
        for exchange in (e for dialogue in case.dialogues for e in dialogue if e.kind == "present"):
            asked = max((n.name for n in case.notes if n.name in exchange.question), key=len)
            assert exchange.answer.startswith("Yes" if asked in there else "No")
            seen.add(exchange.answer[:2])
    assert seen == {"Ye", "No"}


def test_prompts_hold_the_picture_and_each_blocks_avatar_in_order(album: Album) -> None:
    """The layout is the one that serving uses, with the pictures of the right things."""
    for case in cases(album, "several", 20):
        first = case.turns(case.dialogues[0])[0]
        assert case.shown
        places = [place_of(part) for part in first.parts if isinstance(part, ImagePart)]
        assert places == [case.shown.picture, *(note.avatar for note in case.notes)]
        text = as_text(first.parts)
        assert text.startswith("<image>\n[1.<image>\n Name: " + handle(case.notes[0].name) + ", Info: ")
        assert all(note.avatar in album.avatars[note.thing] for note in case.notes)


def test_the_same_seed_gives_the_same_conversations_and_pictures() -> None:
    """Training can be repeated."""
    first, second = (draw_album(np.random.default_rng(5), split="train", things=6, shown=6) for _ in range(2))
    assert first.things == second.things
    assert np.array_equal(first.pixels, second.pixels)
    assert [c.dialogues for c in cases(first, "one", 5)] == [c.dialogues for c in cases(second, "one", 5)]
    assert corpus(np.random.default_rng(2), cases=20) == corpus(np.random.default_rng(2), cases=20)


def test_training_shows_nothing_of_the_test_split(album: Album) -> None:
    """Albums for training, drawn or not, hold things of the training split only."""
    blind = blind_album(np.random.default_rng(3), things=200)
    assert {split_of(thing) for thing in (*album.things, *blind.things)} == {"train"}


def test_words_are_learned_without_anything_that_needs_eyes() -> None:
    """Blind cases ask nothing about what is where, and describe only what has a block."""
    album = blind_album(np.random.default_rng(4), things=60)
    rng = np.random.default_rng(4)
    for case in (sample_case(album, rng, blind=True) for _ in range(200)):
        kinds = {e.kind for dialogue in case.dialogues for e in dialogue}
        assert not kinds & {"where", "present", "which"}
        if case.shown:
            assert {note.thing for note in case.notes} == set(case.shown.things)
