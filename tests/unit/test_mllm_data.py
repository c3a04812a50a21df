"""The conversations that the tiny MLLM learns from."""

import numpy as np
import pytest

from rap_serve.domain.prompt import ImagePart, as_text, handle
from training.mllm_album import Album, blind_album, draw_album, place_of
from training.mllm_ask import Asker, corpus, sample_case
from training.mllm_data import Case, CaseKind, Exchange, sample_scenery
from training.mllm_questions import with_choices
from training.mllm_sayings import saying_of, sayings_of
from training.mllm_words import any_names, invented, names_in, told_of
from training.world.facts import sample_fact
from training.world.things import ALL_CATEGORIES, sample_thing, split_of

KINDS: tuple[CaseKind, ...] = ("known", "mixed", "wrong", "bare", "text", "talk")


@pytest.fixture(scope="module")
def album() -> Album:
    """A few drawn things and pictures."""
    return draw_album(np.random.default_rng(0), split="train", things=24, shown=60)


def cases(album: Album, kind: CaseKind, count: int = 60) -> list[Case]:
    rng = np.random.default_rng(1)
    return [sample_case(album, rng, kind=kind) for _ in range(count)]


def exchanges(case: Case) -> list[Exchange]:
    return [exchange for dialogue in case.dialogues for exchange in dialogue]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_names_exactly_what_it_says_it_names(album: Album, kind: CaseKind) -> None:
    """The handles in the words are those of ``named``, all of them the names of blocks in the prompt."""
    for case in cases(album, kind):
        for exchange in exchanges(case):
            assert set(names_in(exchange.answer)) == set(exchange.named)
            assert set(exchange.named) <= {note.name for note in case.notes}


@pytest.mark.parametrize("blocks", range(1, 7))
def test_open_questions_name_each_thing_that_the_picture_shows_once(album: Album, blocks: int) -> None:
    """Every block of a thing in the picture, in the order of the blocks."""
    rng = np.random.default_rng(blocks)
    for _ in range(20):
        case = sample_case(album, rng, kind="known", blocks=blocks)
        for exchange in exchanges(case):
            if exchange.kind in ("what", "caption", "which"):
                assert names_in(exchange.answer) == [note.name for note in case.notes]


@pytest.mark.parametrize("kind", ["mixed", "wrong"])
def test_open_questions_name_nothing_that_is_not_there(album: Album, kind: CaseKind) -> None:
    """A block of a thing that is not in the picture is never named when someone asks what is there."""
    for case in cases(album, kind):
        assert case.shown
        there = {note.name for note in case.notes if note.thing in case.shown.things}
        for exchange in exchanges(case):
            if exchange.kind in ("what", "caption", "which"):
                assert set(exchange.named) == there


@pytest.mark.parametrize("kind", ["known", "mixed", "bare"])
def test_recognition_says_yes_exactly_to_what_is_there(album: Album, kind: CaseKind) -> None:
    """Yes to a thing in the picture that has a block, no to any other name."""
    seen = set()
    for case in cases(album, kind, 150):
        for exchange in exchanges(case):
            if exchange.kind == "present":
                there = {case.notes[i].name for i in case.present}
                yes = exchange.answer.startswith("Yes")
                assert set(exchange.named) <= there
                assert yes == bool(exchange.named)
                seen.add(yes)
    assert seen == ({False} if kind == "bare" else {True, False})


@pytest.mark.parametrize("kind", ["known", "text"])
def test_the_letter_of_a_choice_is_that_of_what_the_info_says(album: Album, kind: CaseKind) -> None:
    """The option behind the answer's letter is in the info of the note it is about; the options differ."""
    for case in cases(album, kind, 100):
        for exchange in (e for e in exchanges(case) if e.kind == "choice"):
            place, value = exchange.copied[0]
            assert value in case.notes[place].info
            assert exchange.chosen in value
            assert f"{exchange.answer}) {exchange.chosen}" in exchange.question.replace(".", ")").replace(":", ")")
            assert len(set(exchange.options)) == len(exchange.options) > 1


def test_choices_come_in_any_order() -> None:
    """No letter is the right one more often than the others."""
    rng = np.random.default_rng(6)
    letters = [with_choices(rng, "What colour is it?", "red", ["blue", "tan", "lime"])[1] for _ in range(400)]
    assert all(70 < letters.count(letter) < 130 for letter in "ABCD")


@pytest.mark.parametrize("category", ALL_CATEGORIES)
def test_what_is_asked_about_a_description_is_in_it(category: str) -> None:
    """Each saying's value, for every category of the world, stands in the description."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        told = told_of(sample_thing(rng, split="test", category=category), rng)
        sayings = sayings_of(told)
        assert {"category", "colour"} <= {saying.kind for saying in sayings}
        assert all(saying.value in told.phrase and saying.value in saying.end for saying in sayings)


def test_a_facts_value_is_what_differs_from_others_of_its_kind() -> None:
    """The value stands in the info's sentence, and rivals are other answers to the same question."""
    rng = np.random.default_rng(8)
    for _ in range(200):
        fact = sample_fact(rng)
        saying = saying_of(fact)
        assert saying.value in fact.sentence
        assert not saying.rivals(rng).startswith(fact.answer.split()[0] + " ")


def test_names_differ_in_more_than_case() -> None:
    """However alike, no two names of a case are the same to the service."""
    rng = np.random.default_rng(9)
    for _ in range(200):
        assert len({name.casefold() for name in any_names(rng, 6)}) == 6


def test_invented_descriptions_hold_words_of_no_category() -> None:
    """What a thing is called has to be read, it cannot be known."""
    rng = np.random.default_rng(10)
    nouns = {invented(rng).noun for _ in range(300)}
    assert len(nouns - set(ALL_CATEGORIES)) > 200


def test_prompts_hold_the_picture_and_each_blocks_avatar_in_order(album: Album) -> None:
    """The layout is the one that serving uses, with the pictures of the right things."""
    for case in cases(album, "known", 20):
        first = case.turns(case.dialogues[0])[0]
        assert case.shown
        places = [place_of(part) for part in first.parts if isinstance(part, ImagePart)]
        assert places == [case.shown.picture, *(note.avatar for note in case.notes)]
        text = as_text(first.parts)
        assert text.startswith("<image>\n[1.<image>\n Name: " + handle(case.notes[0].name) + ", Info: ")
        assert all(note.avatar in album.avatars[note.thing] for note in case.notes)


def test_the_same_seed_gives_the_same_conversations_and_pictures() -> None:
    """Training can be repeated."""
    first, second = (draw_album(np.random.default_rng(5), split="train", things=8, shown=20) for _ in range(2))
    assert first.things == second.things
    assert np.array_equal(first.pixels, second.pixels)
    assert [c.dialogues for c in cases(first, "bare", 5)] == [c.dialogues for c in cases(second, "bare", 5)]
    assert corpus(np.random.default_rng(2), cases=20) == corpus(np.random.default_rng(2), cases=20)


def test_training_shows_nothing_of_the_other_splits(album: Album) -> None:
    """Albums for training, drawn or not, hold things of the training split only."""
    blind = blind_album(np.random.default_rng(3), things=200)
    assert {split_of(thing) for thing in (*album.things, *blind.things)} == {"train"}


def test_words_are_learned_without_anything_that_needs_eyes() -> None:
    """Blind cases ask where something is only if the prompt says so, and describe only what has a block."""
    album = blind_album(np.random.default_rng(4), things=60)
    rng = np.random.default_rng(4)
    for case in (sample_case(album, rng, blind=True) for _ in range(200)):
        kinds = {e.kind for e in exchanges(case)}
        assert not kinds & {"seen", "looks"}
        assert any(case.place_words) or not kinds & {"where", "place"}
        assert len(case.present) == len(case.notes) or case.shown is None
        if case.shown and not case.notes:
            assert kinds <= {"which", "present", "unknown"}


@pytest.mark.parametrize("blind", [False, True])
def test_what_is_asked_about_places_is_what_the_line_says(album: Album, blind: bool) -> None:
    """The right option, and none of the wrong ones, is what the prompt says of the thing, where it says anything."""
    rng, asked = np.random.default_rng(12), 0
    for case in (sample_case(album, rng, kind="known", blind=blind) for _ in range(150)):
        for exchange in exchanges(case):
            if exchange.kind in ("where", "place") and exchange.from_places:
                place, value = exchange.copied[-1]
                said = case.place_words[place]
                assert value in ", ".join(said)
                assert value in as_text(case.turns((exchange,))[0].parts).split("In the picture: ")[1]
                wrong = [option for option in exchange.options if option != exchange.chosen]
                assert not any(option in words for option in wrong for words in said)
                asked += 1
            assert not blind or exchange.from_places or exchange.kind != "place"
    assert asked > 50


def test_most_prompts_about_pictures_say_where_things_are(album: Album) -> None:
    """Some say nothing, as where a concept is only spoken of; what has no picture has no places."""
    known = cases(album, "known", 200)
    assert 0.7 < np.mean([any(case.place_words) for case in known]) < 0.95
    assert not any(any(case.place_words) for case in cases(album, "text", 20))
    mixed = cases(album, "mixed", 100)
    assert any(case.boxes[i] for case in mixed for i in range(len(case.notes)) if i not in case.present)


def test_questions_without_a_block_are_asked_of_pictures_too(album: Album) -> None:
    """What a picture shows is also asked where nothing was remembered."""
    rng = np.random.default_rng(11)
    case = sample_scenery(album, rng, kind="bare")
    exchange = Asker(album, rng, case).exchange("caption")
    assert exchange.answer.startswith("The picture shows ")
    assert not exchange.named
