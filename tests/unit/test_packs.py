"""Archives of concepts: what is read of good ones, and what is said of bad ones."""

import io
import json
import zipfile

import pytest

from rap_serve.adapters.zip_packs import ZipPack, zipped
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import InvalidInput, NotFound, RapError, TooLarge
from rap_serve.domain.pack import PackedAvatar, PackedConcept, PackProblem, head_line, line_of
from tests.contract.conftest import concept as concept_of

PICTURE = b"\xff\xd8 picture"


def archive(files: dict[str, bytes | str]) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


def lines_of(files: dict[str, bytes | str]) -> list[PackedConcept | PackProblem]:
    """What an archive lists."""
    return list(ZipPack(archive(files), picture_bytes=1_000).lines())


def test_our_list_is_read_as_it_was_written() -> None:
    """Every field, in order, with the pictures beside it."""
    avatars = [PackedAvatar("pictures/a.jpg", (1.0, 2.0, 30.5, 40.0)), PackedAvatar("pictures/b.jpg")]
    concept = concept_of(Owner("t", "u"), "bo ☃", category="dog", info="A \ud800 dog.", metadata={"k": "v"})
    data = zipped([head_line(), line_of(concept, avatars)], [("pictures/a.jpg", PICTURE), ("pictures/b.jpg", b"2")])
    pack = ZipPack(data, picture_bytes=1_000)
    (found,) = pack.lines()
    assert found == PackedConcept(
        line=2,
        name="bo ☃",
        category="dog",
        info="A \ud800 dog.",
        metadata={"k": "v"},
        avatars=tuple(avatars),
    )
    assert pack.picture("pictures/a.jpg") == PICTURE
    assert data == zipped(
        [head_line(), line_of(concept, avatars)], [("pictures/a.jpg", PICTURE), ("pictures/b.jpg", b"2")]
    )


def test_what_the_service_wrote_itself_does_not_travel() -> None:
    """It is written anew where it arrives."""
    assert json.loads(line_of(concept_of(Owner("t", "u"), "bo", info="Seen.", info_generated=True), []))["info"] == ""


def test_raps_database_is_read_with_its_boxes() -> None:
    """Paths are relative to its folder, or to any above; one picture or several."""
    database = {
        "concept_dict": {
            "<bo>": {"name": "bo", "image": "./pets/bo.jpg", "info": "A dog.", "category": "dog"},
            "<mia>": {"name": "mia", "image": ["pets/m1.jpg", "data/pets/m2.jpg"], "info": None, "category": None},
        }
    }
    files: dict[str, bytes | str] = {
        "data/database.json": json.dumps(database),
        "data/avatar_boxes.json": json.dumps({"pets/bo.jpg": [0, 0, 5, 5]}),
        "data/pets/bo.jpg": PICTURE,
        "data/pets/m2.jpg": b"2",
    }
    pack = ZipPack(archive(files), picture_bytes=1_000)
    bo, mia = pack.lines()
    assert isinstance(bo, PackedConcept) and isinstance(mia, PackedConcept)
    assert bo.avatars == (PackedAvatar("pets/bo.jpg", (0.0, 0.0, 5.0, 5.0)),)
    assert [a.picture for a in mia.avatars] == ["pets/m1.jpg", "data/pets/m2.jpg"]
    assert pack.picture("pets/bo.jpg") == PICTURE and pack.picture("data/pets/m2.jpg") == b"2"
    with pytest.raises(NotFound):
        pack.picture("pets/m1.jpg")


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"name": "bo"}',
        '{"name": "bo", "avatars": []}',
        '{"name": "bo", "avatars": ["x"]}',
        '{"name": 5, "avatars": [{"picture": "a"}]}',
        '{"name": "bo", "metadata": [], "avatars": [{"picture": "a"}]}'.replace("[]", '["x"]'),
        '{"name": "bo", "avatars": [{"picture": "a", "box_xyxy": [1, 2, 3]}]}',
        '{"name": "bo", "avatars": [{"picture": "a", "box_xyxy": [1, 2, 3, "x"]}]}',
    ],
)
def test_a_bad_line_is_reported_by_its_number_and_costs_no_other(line: str) -> None:
    """With what is wrong about it."""
    good = '{"name": "ok", "avatars": [{"picture": "a"}]}'
    bad, fine = lines_of({"concepts.ndjson": "\n".join((head_line(), line, good))})
    assert isinstance(bad, PackProblem) and bad.line == 2 and bad.message
    assert isinstance(fine, PackedConcept) and fine.line == 3


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"readme.txt": "hello"},
        {"concepts.ndjson": ""},
        {"concepts.ndjson": '{"format": "other"}'},
        {"concepts.ndjson": '{"format": "rap-concepts", "version": 2}'},
        {"concepts.ndjson": b"\xff\xfe"},
        {"database.json": "nonsense"},
        {"database.json": "[]"},
    ],
)
def test_what_is_no_archive_of_concepts_is_refused(files: dict[str, bytes | str]) -> None:
    """As a whole."""
    with pytest.raises(InvalidInput):
        lines_of(files)


def test_what_is_no_archive_is_refused() -> None:
    """Nor a damaged one."""
    whole = archive({"concepts.ndjson": head_line()})
    for data in (b"", b"PK", whole[:-10]):
        with pytest.raises(InvalidInput):
            ZipPack(data, picture_bytes=1_000)


def test_a_file_that_unpacks_to_too_much_is_not_unpacked() -> None:
    """Neither one that says so, nor one that lies."""
    bomb = archive({"concepts.ndjson": head_line(), "big.jpg": b"\0" * 5_000_000})
    with pytest.raises(TooLarge):
        ZipPack(bomb, picture_bytes=1_000).picture("big.jpg")
    lying = bomb.replace((5_000_000).to_bytes(4, "little"), (500).to_bytes(4, "little"))
    with pytest.raises(RapError):
        ZipPack(lying, picture_bytes=1_000).picture("big.jpg")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\x", ""])
def test_no_name_leads_out_of_the_archive(name: str) -> None:
    """There is no disk behind it."""
    pack = ZipPack(archive({"concepts.ndjson": head_line()}), picture_bytes=1_000)
    with pytest.raises(NotFound):
        pack.picture(name)


def test_a_database_that_was_packed_inside_its_folder_finds_its_pictures() -> None:
    """Its paths begin with a folder that the archive does not have."""
    database = {"concept_dict": {"<bo>": {"name": "bo", "image": "dev/avatars/bo.jpg"}}}
    pack = ZipPack(archive({"database.json": json.dumps(database), "avatars/bo.jpg": PICTURE}), picture_bytes=1_000)
    (bo,) = pack.lines()
    assert isinstance(bo, PackedConcept) and pack.picture(bo.avatars[0].picture) == PICTURE
