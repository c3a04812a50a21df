"""What is made out of the generated world: conversations that are right, and the same for the same seed."""

import re
from collections import Counter

import cv2
import numpy as np
import pytest

from rap_serve.domain.prompt import neutralised
from training.data.assemble import records_of
from training.data.drafts import Material, drafts_from_json, drafts_to_json
from training.data.instructions import box_text
from training.data.records import PLACEHOLDER, RapRecord, broken_promise, prompt_text
from training.data.world import WorldSource
from training.world.things import Thing, split_of

BOX = re.compile(r"\[\d\.\d\d, \d\.\d\d, \d\.\d\d, \d\.\d\d\]")


@pytest.fixture(scope="module")
def material() -> Material:
    """Forty pictures."""
    return WorldSource().material(range(40), seed=3, folder="shards/00000")


@pytest.fixture(scope="module")
def records(material: Material) -> list[RapRecord]:
    """All five kinds about each picture."""
    return [record for draft in material.drafts for record in records_of(draft, seed=3, most=5)]


def of_kind(records: list[RapRecord], kind: str) -> list[RapRecord]:
    """Those of one kind."""
    return [record for record in records if record.type == kind]


def test_the_same_seed_makes_the_same_bytes(material: Material, records: list[RapRecord]) -> None:
    """However the pictures are divided into shards."""
    again = [WorldSource().material(range(a, a + 10), seed=3, folder="shards/00000") for a in (0, 10, 20, 30)]
    assert {path: c for part in again for path, c in part.files.items()} == material.files
    drafts = [draft for part in again for draft in part.drafts]
    assert [r for draft in drafts for r in records_of(draft, seed=3, most=5)] == records


def test_another_seed_makes_other_records(records: list[RapRecord]) -> None:
    """Not a shuffle of the same ones."""
    other = WorldSource().material(range(2), seed=4, folder="shards/00000").drafts
    assert records_of(other[0], seed=4, most=5) != records[:5]


def test_a_picture_gives_no_more_records_than_asked_for(material: Material) -> None:
    """Each of another kind."""
    for most in (1, 2, 5):
        kinds = [record.type for record in records_of(material.drafts[0], seed=3, most=most)]
        assert len(kinds) == most == len(set(kinds))


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_everything_about_a_picture_is_of_one_split(split: str) -> None:
    """What is in it, and the noise."""
    drafts = WorldSource(split).material(range(10), seed=0, folder="x").drafts  # type: ignore[arg-type]
    things = [eval(c.key, {"Thing": Thing}) for draft in drafts for c in (*draft.present, *draft.absent)]
    assert {split_of(thing) for thing in things} == {split}


def test_noise_is_never_in_the_picture(material: Material) -> None:
    """Even where it is the twin of something that is."""
    for draft in material.drafts:
        assert not {c.key for c in draft.present} & {c.key for c in draft.absent}


def test_drafts_survive_being_text(material: Material) -> None:
    """Between the stages they are."""
    assert drafts_from_json(drafts_to_json(material.drafts)) == material.drafts


def test_conversations_alternate_and_begin_with_the_prompt_that_serving_writes(records: list[RapRecord]) -> None:
    """One picture, a block with an avatar for each concept, then the question; later turns are bare."""
    for record in records:
        assert [m.sender for m in record.conversations] == ["human", "gpt"] * len(record.exchanges)
        first = record.conversations[0].value
        question = first.rsplit("]\n", 1)[-1].removeprefix(f"{PLACEHOLDER}\n")
        assert first == prompt_text(record.extra, question)
        assert record.images[1:] == tuple(c.image for c in record.extra)
        assert all(PLACEHOLDER not in m.value for m in record.conversations[1:])


def test_records_say_what_rap_says(records: list[RapRecord]) -> None:
    """The published fields, and a list of pictures wherever there are concepts."""
    for record in records:
        content = record.json()
        assert list(content) == ["id", "image", "conversations", "extra", "type"]
        assert isinstance(content["image"], list) == bool(record.extra)
        assert all({"name", "image", "info", "category", "noise"} <= set(c) for c in content["extra"].values())


def test_pictures_and_avatars_can_be_decoded(material: Material, records: list[RapRecord]) -> None:
    """Every path of a record is a file of the shard."""
    for path in {path for record in records for path in record.images}:
        assert cv2.imdecode(np.frombuffer(material.files[path], np.uint8), cv2.IMREAD_COLOR) is not None


def test_no_answer_names_a_concept_that_is_not_there(records: list[RapRecord]) -> None:
    """Whatever stands in the prompt; there is noise in most of them."""
    assert sum(any(c.noise for c in record.extra) for record in records) > len(records) / 2
    assert [broken_promise(record) for record in records] == [""] * len(records)


def test_names_are_unique_and_survive_the_prompt(records: list[RapRecord]) -> None:
    """A record's concepts can be told apart by them."""
    for record in records:
        names = [c.name for c in record.extra]
        assert len({n.casefold() for n in names}) == len(names)
        assert all(neutralised(f"<{name}>") == f"<{name}>" for name in names)


def test_recognition_says_no_exactly_to_noise(records: list[RapRecord]) -> None:
    """And both are asked about, to about the same extent."""
    answers: Counter[str] = Counter()
    for record in of_kind(records, "recognition"):
        noise = {c.name: c.noise for c in record.extra}
        for question, answer in record.exchanges:
            (asked,) = re.findall(r"<([^<>\n]+)>", question.rsplit("]\n", 1)[-1])
            assert answer.startswith("No" if noise[asked] else "Yes")
            answers[answer[:2]] += 1
    assert 0.3 < answers["No"] / answers.total() < 0.7


def test_grounding_gives_the_box_of_what_is_there_and_none_of_what_is_not(records: list[RapRecord]) -> None:
    """As fractions with two decimals; asked the other way round, a box gives the name."""
    for record in of_kind(records, "grounding"):
        boxes = {c.name: c.box for c in record.extra}
        for question, answer in record.exchanges:
            asked = question.rsplit("]\n", 1)[-1]
            if BOX.search(asked):
                (name,) = re.findall(r"<([^<>\n]+)>", answer)
                assert box_text(boxes[name] or (0, 0, 0, 0)) in asked
            else:
                (name,) = re.findall(r"<([^<>\n]+)>", asked)
                box = boxes[name]
                assert answer == box_text(box) if box else not BOX.search(answer)


def test_captions_name_every_concept_that_is_shown(records: list[RapRecord]) -> None:
    """And some have nothing to name at all."""
    captions = of_kind(records, "caption")
    for record in captions:
        assert all(f"<{c.name}>" in record.exchanges[0][1] for c in record.extra if not c.noise)
    assert any(all(c.noise for c in record.extra) for record in captions)


def test_records_hold_several_turns(records: list[RapRecord]) -> None:
    """One, two or three, all of one kind."""
    assert {len(record.exchanges) for record in records} == {1, 2, 3}
