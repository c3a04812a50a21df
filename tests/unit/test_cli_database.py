"""Reading RAP's databases."""

import json
from pathlib import Path
from typing import Any

import pytest

from rap_serve.cli.client import CliError
from rap_serve.cli.concepts import parsed_box
from rap_serve.cli.database import Roots, new_concept, read_boxes, read_database
from rap_serve.domain.errors import InvalidName


def database(folder: Path, concepts: dict[str, Any]) -> Path:
    """A database file in ``folder``."""
    path = folder / "database.json"
    path.write_text(json.dumps({"concept_dict": concepts, "path_to_concept": {}}))
    return path


def test_a_record_has_what_the_database_says(tmp_path: Path) -> None:
    """Name, picture, info and category; a name that is missing comes from the key."""
    path = database(tmp_path, {"<bo>": {"image": "bo.jpg", "info": "<bo> is a dog.", "category": "dog"}})
    (record,) = read_database(path)
    assert (record.name, record.images, record.category) == ("bo", ("bo.jpg",), "dog")
    assert record.info == "<bo> is a dog."


def test_a_record_may_have_several_pictures(tmp_path: Path) -> None:
    """Each becomes an avatar."""
    path = database(tmp_path, {"<bo>": {"name": "bo", "image": ["a.jpg", "b.jpg"]}})
    assert read_database(path)[0].images == ("a.jpg", "b.jpg")


def test_pictures_are_found_beside_the_database_and_beside_its_folder(tmp_path: Path) -> None:
    """RAP's own paths start with the database's folder; others start inside it."""
    folder = tmp_path / "dev"
    folder.mkdir()
    (folder / "bo.jpg").touch()
    roots = Roots.of(database(folder, {}))
    assert roots.find("bo.jpg") == roots.find("dev/bo.jpg") == folder / "bo.jpg"
    assert roots.find("./dev/bo.jpg").samefile(folder / "bo.jpg")


def test_a_given_root_is_the_only_one(tmp_path: Path) -> None:
    """``--root`` says where pictures are, and nothing else is tried."""
    (tmp_path / "bo.jpg").touch()
    with pytest.raises(CliError, match=r"bo\.jpg"):
        Roots.of(database(tmp_path, {}), tmp_path / "elsewhere").find("bo.jpg")


def test_boxes_beside_the_database_are_used(tmp_path: Path) -> None:
    """The box goes with the picture of the same path, however that is written."""
    (tmp_path / "bo.jpg").touch()
    (tmp_path / "avatar_boxes.json").write_text('{"bo.jpg": [1, 2, 30, 40]}')
    path = database(tmp_path, {"<bo>": {"name": "bo", "image": "./bo.jpg"}})
    concept = new_concept(read_database(path)[0], Roots.of(path), read_boxes(path))
    assert concept.avatars[0].box_xyxy == [1.0, 2.0, 30.0, 40.0]


def test_without_boxes_the_whole_picture_counts(tmp_path: Path) -> None:
    """No file, no boxes."""
    assert read_boxes(database(tmp_path, {})) == {}


@pytest.mark.parametrize("content", ["[]", "{}", "not json", '{"concept_dict": {"<bo>": {"name": "bo"}}}'])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: str) -> None:
    """The message names the file."""
    path = tmp_path / "database.json"
    path.write_text(content)
    with pytest.raises(CliError, match=r"database\.json"):
        read_database(path)


def test_a_name_that_the_service_would_refuse_is_refused_here(tmp_path: Path) -> None:
    """With the service's own rule."""
    with pytest.raises(InvalidName):
        read_database(database(tmp_path, {"<!>": {"image": "bo.jpg"}}))


def test_a_box_is_four_numbers() -> None:
    """As ``--box`` takes it."""
    assert parsed_box("10, 20,200.5,180") == (10.0, 20.0, 200.5, 180.0)
    for wrong in ("1,2,3", "1,2,3,x", ""):
        with pytest.raises(CliError, match="x0,y0,x1,y1"):
            parsed_box(wrong)
