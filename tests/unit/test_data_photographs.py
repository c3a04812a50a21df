"""Folders of photographs with a file of boxes: what is read, and what is reported with its line."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.test_data_datasets import material
from training.data.assemble import records_of
from training.data.dataset import DatasetSource
from training.data.photographs import list_photographs
from training.data.problems import Problem


def photographs_source(folder: Path, problems: list[Problem], **files: Any) -> DatasetSource:
    """A source of photographs out of JSON contents."""
    paths = {}
    for name, content in files.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content, indent=1), encoding="utf-8")
    listing = list_photographs(listing=folder / "work.sqlite", problems=problems, **paths)
    return DatasetSource(listing=listing, images=folder, out=folder / "out", inputs=())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three pictures of 100 pixels."""
    for name in ("a", "b", "bo"):
        Image.new("RGB", (100, 100), "red").save(tmp_path / f"{name}.png")
    return tmp_path


BO = {"name": "bo", "image": "bo.png", "info": "<bo> is a red square.", "category": "toy"}


def test_photographs_take_names_infos_and_avatars_from_a_database(pictures: Path) -> None:
    """The avatar is the database's picture, cut to its box."""
    problems: list[Problem] = []
    source = photographs_source(
        pictures,
        problems,
        boxes=[{"image": "a.png", "objects": [{"name": "bo", "box_xyxy": [10, 10, 90, 90]}]}],
        database={"concept_dict": {"<bo>": BO}},
        avatar_boxes={"bo.png": [20, 20, 60, 80]},
    )
    made = material(source)
    (candidate,) = made.drafts[0].present
    assert (candidate.name, candidate.category, candidate.info) == ("bo", "toy", "<bo> is a red square.")
    assert candidate.box == (0.1, 0.1, 0.9, 0.9) and not problems and not made.problems
    assert records_of(made.drafts[0], seed=0, most=5)[0].extra[0].info.startswith("<bo> is a red square.")


def test_photographs_may_come_with_boxes_alone(pictures: Path) -> None:
    """One box, or several, by picture; names are given later."""
    boxes = {"a.png": [10, 10, 90, 90], "b.png": [[0, 0, 40, 40], [50, 50, 100, 100]]}
    made = material(photographs_source(pictures, [], boxes=boxes))
    assert [len(draft.present) for draft in made.drafts] == [1, 2]
    assert {c.name for draft in made.drafts for c in draft.present} == {""}


@pytest.mark.parametrize(
    ("thing", "kind", "text"),
    [
        ({"box_xyxy": [1, 1, 50, 50]}, "no name", "{"),
        ({"name": "", "box_xyxy": [1, 1, 50, 50]}, "no name", "{"),
        ({"name": "max", "box_xyxy": [1, 1, 50, 50]}, "unknown label", "{"),
        ({"name": "bo"}, "broken box", "{"),
        ({"name": "bo", "box_xyxy": [5, 5, 1, 9]}, "broken box", '"box_xyxy"'),
    ],
)
def test_a_bad_object_is_reported_with_its_line(pictures: Path, thing: Any, kind: str, text: str) -> None:
    """That of the object itself, not of its picture."""
    problems: list[Problem] = []
    good = {"name": "bo", "box_xyxy": [10, 10, 90, 90]}
    boxes = [{"image": "a.png", "objects": [good, thing]}]
    photographs_source(pictures, problems, boxes=boxes, database={"concept_dict": {"<bo>": BO}})
    (problem,) = problems
    lines = (pictures / "boxes.json").read_text(encoding="utf-8").splitlines()
    assert problem.kind == kind and problem.where.startswith("[0].objects[1]") and problem.line is not None
    assert problem.line > 12 and text in lines[problem.line - 1]


def test_a_box_outside_of_its_photograph_is_found_when_the_photograph_is_read(pictures: Path) -> None:
    """Only then is its size known."""
    made = material(photographs_source(pictures, [], boxes={"a.png": [10, 10, 190, 90]}))
    assert [(p.kind, p.line) for p in made.problems] == [("broken box", 2)] and not made.drafts


@pytest.mark.parametrize(
    ("content", "kind"),
    [({**BO, "name": None}, "no name"), (BO, "name twice")],
)
def test_a_bad_concept_of_a_database_is_reported(pictures: Path, content: Any, kind: str) -> None:
    """With its line and key."""
    problems: list[Problem] = []
    database = {"concept_dict": {"<bo>": BO, "<second>": content}}
    photographs_source(pictures, problems, boxes={"bo.png": [1, 1, 90, 90]}, database=database)
    assert [(p.kind, p.file, p.line, p.where) for p in problems] == [
        (kind, "database.json", 9, 'concept_dict["<second>"]')
    ]


def test_labelled_photographs_are_read(photographs: Path, tmp_path: Path) -> None:
    """A real database in RAP's form."""
    problems: list[Problem] = []
    listing = list_photographs(
        photographs / "queries.json",
        tmp_path / "work.sqlite",
        database=photographs / "database.json",
        avatar_boxes=photographs / "avatar_boxes.json",
        problems=problems,
    )
    source = DatasetSource(listing=listing, images=photographs.parent, out=tmp_path, inputs=())
    made = source.material(range(12), seed=0, folder="shards/00000")
    assert source.count == 120 and not problems and not made.problems
    assert all(draft.present[0].name and draft.present[0].info for draft in made.drafts)
