"""The test files of RAP and Yo'LLaVA, in small."""

import json
from pathlib import Path

import pytest
from PIL import Image

from rap_serve.cli.client import CliError
from rap_serve.cli.eval.rap_files import RapFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database of two concepts with their pictures, and test pictures in folders."""
    concepts = {}
    for name in ("bo", "cat-cup"):
        picture(tmp_path / "database" / f"{name}.png")
        for place in (0, 1):
            picture(tmp_path / "test" / name / f"{place}.png")
        image = f"database/{name}.png"
        concepts[f"<{name}>"] = {"name": name, "image": image, "info": f"<{name}> is mine.", "category": "thing"}
    written(tmp_path / "database" / "database.json", {"concept_dict": concepts, "path_to_concept": {}})
    return tmp_path


def picture(path: Path) -> None:
    """A picture at that path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), "tan").save(path)


def written(path: Path, content: object) -> Path:
    """The file with that content."""
    path.write_text(json.dumps(content, indent=1))
    return path


def files(folder: Path) -> RapFiles:
    """A reader of that folder's tests."""
    return RapFiles(folder / "database" / "database.json", root=folder)


def test_the_database_becomes_one_users_library(folder: Path) -> None:
    """In its order, with what is known about each."""
    library = files(folder).library
    assert library.names == ("bo", "cat-cup")
    assert library.concepts[0].info == "<bo> is mine."


def test_captions_are_pictures_with_their_concepts(folder: Path) -> None:
    """One name or a list of names for each path."""
    test = written(folder / "captions.json", {"test/bo/0.png": ["bo", "<cat-cup>"], "test/bo/1.png": "bo"})
    pack = files(folder).captions(test)
    assert [p.names for p in pack.pictures] == [{"bo", "cat-cup"}, {"bo"}]
    assert pack.problems == ()


def test_visual_questions_are_asked_as_raps_script_does(folder: Path) -> None:
    """The placeholder becomes the name, the options stand in lines."""
    one = {"question": "Is sks a dog?", "options": {"A": "Dog", "B": "Cat"}, "correct_answer": "A"}
    test = written(folder / "visual-qa.json", {"bo": {"./test/bo/0.png": one, "./test/bo/1.png": [one, one]}})
    pack = files(folder).visual_qa(test)
    assert len(pack.questions) == 3
    assert pack.questions[0].image is not None and pack.questions[0].answer == "A"
    assert pack.questions[0].asked() == (
        "Question: Is <bo> a dog?\nOptions:\nA. Dog\nB. Cat\nPlease give a single character from the options above."
    )


def test_text_questions_have_numbers_where_visual_ones_have_pictures(folder: Path) -> None:
    """And call their options by another word."""
    one = {"question": "Does sks have a handle?", "option": {"A": "Yes", "B": "No"}, "correct_answer": "B"}
    pack = files(folder).text_qa(written(folder / "text-qa.json", {"cat-cup": {"0": one}}))
    (question,) = pack.questions
    assert (question.concept, question.image, question.answer) == ("cat-cup", None, "B")


def test_a_list_of_recognitions_asks_each_thing_once(folder: Path) -> None:
    """RAP's list has every positive a second time, under negatives."""

    def record(concept: str, kind: str, answer: bool) -> dict[str, object]:
        question = f"<image>\nIs <{concept}> in this image? Answer with a single word or phrase."
        return {
            "image": "test/bo/0.png",
            "question": question,
            "concept": concept,
            "type": kind,
            "correct_answer": answer,
        }

    records = [record("bo", "positive", True), record("bo", "negative", True), record("cat-cup", "negative", False)]
    pack = files(folder).recognition(written(folder / "recognition.json", records))
    assert [(q.concept, q.answer) for q in pack.questions] == [("bo", "yes"), ("cat-cup", "no")]
    assert pack.questions[0].asked().startswith("Is <bo> in this image?")


def test_a_folder_per_concept_makes_positives_and_negatives(folder: Path) -> None:
    """Each picture shows its own concept and no other."""
    pack = files(folder).recognition(folder / "test")
    assert sorted((q.concept, q.answer) for q in pack.questions) == [
        *([("bo", "no"), ("bo", "no"), ("bo", "yes"), ("bo", "yes")]),
        *([("cat-cup", "no"), ("cat-cup", "no"), ("cat-cup", "yes"), ("cat-cup", "yes")]),
    ]


def test_bad_records_are_left_out_with_file_and_line(folder: Path) -> None:
    """A picture that is gone, a name that nobody has, an answer that is no option."""
    one = {"question": "Is sks a dog?", "options": {"A": "Dog", "B": "Cat"}, "correct_answer": "C"}
    test = written(folder / "visual-qa.json", {"bo": {"test/bo/0.png": one, "gone.png": one}, "max": {"x.png": one}})
    problems = files(folder).visual_qa(test).problems
    assert [p.split(":")[1] for p in problems] == ["3", "11", "21"]
    assert "none of the options" in problems[0] and "gone.png" in problems[1] and "x.png" in problems[2]


def test_a_concept_without_a_picture_is_left_out_of_the_library(folder: Path) -> None:
    """Or the whole database is refused."""
    (folder / "database" / "bo.png").unlink()
    found = files(folder)
    assert found.library.names == ("cat-cup",) and "bo.png" in found.problems.found[0]
    with pytest.raises(CliError, match=r"bo\.png"):
        RapFiles(folder / "database" / "database.json", root=folder, bad="refuse")
