"""Packs in files."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rap_serve.cli.client import CliError, NewAvatar
from rap_serve.cli.eval.pack import Pack, PackConcept, PackLibrary, PackPicture, Pair, Question, Shown
from rap_serve.cli.eval.pack_file import read_pack, write_pack
from rap_serve.cli.eval.problems import line_of


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Two concepts, a picture, a question and a pair, in ``tmp_path``."""
    for name in ("bo", "luna", "both"):
        Image.new("RGB", (60, 40), "tan").save(tmp_path / f"{name}.png")
    avatars = {n: (NewAvatar(tmp_path / f"{n}.png", (1.0, 2.0, 30.0, 40.0)),) for n in ("bo", "luna")}
    concepts = tuple(PackConcept(n, a, "dog", f"<{n}> is a dog.", True) for n, a in avatars.items())
    shown = (Shown("bo", "dog", (0.0, 0.0, 20.0, 20.0), "animal", True), Shown(None, "mug"))
    question = Question(
        text="What is <bo>?",
        user="ann",
        concept="bo",
        kind="choice",
        answer="B",
        image=tmp_path / "both.png",
        options={"A": "a mug", "B": "a dog"},
        about="info",
    )
    picture = PackPicture(tmp_path / "both.png", "ann", shown, "pair")
    return Pack("small", (PackLibrary("ann", concepts),), (picture,), (question,), (Pair("ann", "bo", "luna", "base"),))


def changed(folder: Path, change: Any) -> None:
    """Lets ``change`` edit the file's content."""
    file = folder / "pack.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content, indent=1))


def test_a_pack_comes_back_as_it_was_written(pack: Pack, tmp_path: Path) -> None:
    """Every field."""
    write_pack(pack, tmp_path)
    assert read_pack(tmp_path) == pack


def test_a_question_is_asked_in_one_line_or_as_raps_scripts_do(pack: Pack) -> None:
    """With its options."""
    (question,) = pack.questions
    assert question.asked() == "What is <bo>? A. a mug B. a dog"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["pictures"][0].update(image="gone.png"), "there is no picture 'gone.png'"),
        (lambda c: c["pictures"][0]["objects"][0].update(box_xyxy=[5, 5, 5, 5]), "covers nothing"),
        (lambda c: c["pictures"][0]["objects"][0].update(box_xyxy="left"), "a box is four numbers"),
        (lambda c: c["pictures"][0]["objects"][0].update(name="max"), "'ann' has no concept 'max'"),
        (lambda c: c["pictures"][0].pop("user"), "there is no 'user'"),
        (lambda c: c["pictures"][0].update(user="tom"), "there is no library of 'tom'"),
    ],
)
def test_a_bad_picture_is_left_out_with_file_and_line(pack: Pack, tmp_path: Path, change: Any, reason: str) -> None:
    """The rest of the pack is read."""
    write_pack(pack, tmp_path)
    changed(tmp_path, change)
    found = read_pack(tmp_path)
    assert found.pictures == () and found.libraries == pack.libraries
    (problem,) = found.problems
    line = int(problem.removeprefix(f"{tmp_path / 'pack.json'}:").split(":")[0])
    assert (tmp_path / "pack.json").read_text().splitlines()[line - 2].strip() == '"pictures": ['
    assert reason in problem


def test_a_concept_without_a_name_is_left_out_with_what_depends_on_it(pack: Pack, tmp_path: Path) -> None:
    """Its picture, its question and its pair."""
    write_pack(pack, tmp_path)
    changed(tmp_path, lambda c: c["libraries"][0]["concepts"][0].pop("name"))
    found = read_pack(tmp_path)
    assert found.libraries[0].names == ("luna",)
    assert len(found.problems) == 4 and "there is no 'name'" in found.problems[0]


def test_a_bad_record_can_be_refused(pack: Pack, tmp_path: Path) -> None:
    """Then nothing is measured."""
    write_pack(pack, tmp_path)
    changed(tmp_path, lambda c: c["questions"][0].update(answer="C"))
    with pytest.raises(CliError, match="none of the options"):
        read_pack(tmp_path, bad="refuse")


def test_another_version_is_no_pack(pack: Pack, tmp_path: Path) -> None:
    """It is not read as if it were this one."""
    write_pack(pack, tmp_path)
    changed(tmp_path, lambda c: c.update(version=2))
    with pytest.raises(CliError, match="version 1"):
        read_pack(tmp_path)


def test_a_line_is_found_through_objects_and_arrays() -> None:
    """Strings with brackets in them do not confuse it; what is absent is where its parent begins."""
    text = '{\n "a]": [1,\n {"b": "}"},\n {"c": 2}],\n "d": {\n  "e": 3}\n}'
    assert line_of(text, ("a]", 1)) == 3
    assert line_of(text, ("a]", 2, "c")) == 4
    assert line_of(text, ("d", "e")) == 6
    assert line_of(text, ("d", "gone")) == 5
