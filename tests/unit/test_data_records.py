"""Records in RAP's format: written and read back, published ones too, bad ones named by file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.data import BadData, ConceptRecord, Message, Problem, RapRecord, read_records
from training.data.convert import convert
from training.data.records import broken_promise, prompt_text

CONCEPT = ConceptRecord(name="bo", image="bo.jpg", info="<bo> is a red mug.", category="mug", box=(0.1, 0.2, 0.5, 0.6))
RECORD = RapRecord(
    id="7",
    images=("p.jpg", "bo.jpg"),
    conversations=(Message("human", prompt_text((CONCEPT,), "What is this?")), Message("gpt", "<bo>, a red mug.")),
    extra=(CONCEPT,),
    type="caption",
)
PUBLISHED: dict[str, Any] = {
    "id": 156,
    "image": "refcoco/image/94268.jpg",
    "conversations": [{"from": "human", "value": "<image>\nDoes <D> wear shoes?"}, {"from": "gpt", "value": "Yes."}],
    "extra": {"crop/0.jpg": {"name": "D", "info": "A man in orange.", "category": "person"}},
    "type": "basic",
}


def file_of(folder: Path, *records: dict[str, Any]) -> Path:
    """A published file: an array over many lines."""
    file = folder / "records.json"
    file.write_text(json.dumps(list(records), indent=1), encoding="utf-8")
    return file


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """From a run's folder."""
    file_of(tmp_path, RECORD.json())
    assert list(read_records(tmp_path)) == [RECORD]


def test_a_published_record_is_arranged_as_serving_does_it(tmp_path: Path) -> None:
    """The concepts go into the prompt, their avatars behind the picture."""
    (record,) = read_records(file_of(tmp_path, PUBLISHED))
    assert record.images == ("refcoco/image/94268.jpg", "crop/0.jpg")
    expected = "<image>\n[1.<image>\n Name: <D>, Info: A man in orange.]\nDoes <D> wear shoes?"
    assert record.conversations[0].value == expected and record.exchanges == [(expected, "Yes.")]


def test_a_published_record_without_picture_or_concepts_is_read_too(tmp_path: Path) -> None:
    """General conversations are part of the published set."""
    turns = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hello."}]
    (record,) = read_records(file_of(tmp_path, {"id": 1, "conversations": turns}))
    assert record.images == () and record.extra == () and record.exchanges == [("Hello", "Hello.")]


def test_converted_records_read_the_same(tmp_path: Path) -> None:
    """The converter writes what the reader makes of a published file."""
    source, problems = file_of(tmp_path, PUBLISHED, {"id": 2}), list[Problem]()
    target = tmp_path / "ours.json"
    assert convert(source, target, images=None, bad="skip", problems=problems) == 1
    assert list(read_records(target)) == list(read_records(source)) and len(problems) == 1


@pytest.mark.parametrize(
    ("change", "kind", "line_of"),
    [
        ({"conversations": []}, "wrong format", '"conversations": []'),
        ({"conversations": [{"from": "gpt", "value": "Yes."}] * 2}, "wrong format", '"conversations"'),
        ({"image": 3}, "wrong format", '"image": 3'),
        ({"extra": {"c.jpg": {"info": "A man."}}}, "no name", '"c.jpg"'),
        ({"extra": {"c.jpg": {"name": " ", "info": "A man."}}}, "no name", '"c.jpg"'),
        ({"extra": ["c.jpg"]}, "wrong format", '"extra"'),
        ({"image": ["a.jpg", "b.jpg"]}, "wrong format", '"image"'),
    ],
)
def test_a_bad_record_is_reported_with_file_and_line(
    tmp_path: Path, change: dict[str, Any], kind: str, line_of: str
) -> None:
    """The good ones around it are read."""
    file, problems = file_of(tmp_path, PUBLISHED, {**PUBLISHED, **change}, PUBLISHED), list[Problem]()
    assert len(list(read_records(file, problems=problems))) == 2
    text = file.read_text(encoding="utf-8").splitlines()
    (problem,) = problems
    assert problem.kind == kind and problem.file == "records.json" and problem.line is not None
    assert line_of in text[problem.line - 1] and "[1]" in problem.where


def test_bad_records_may_be_refused(tmp_path: Path) -> None:
    """The message says where."""
    with pytest.raises(BadData, match=r"records\.json:\d+: wrong format"):
        list(read_records(file_of(tmp_path, PUBLISHED, {"id": 2}), bad="refuse"))


def test_missing_pictures_are_found_when_asked_for(tmp_path: Path) -> None:
    """With the folder of the pictures."""
    problems: list[Problem] = []
    assert not list(read_records(file_of(tmp_path, PUBLISHED), problems=problems, images=tmp_path))
    assert [(p.kind, p.line) for p in problems] == [("missing image", 2)]


def test_a_file_that_is_cut_off_is_reported_where_it_ends(tmp_path: Path) -> None:
    """What stood before is read."""
    file, problems = file_of(tmp_path, PUBLISHED, PUBLISHED), list[Problem]()
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    assert len(list(read_records(file, problems=problems))) == 1
    assert [p.kind for p in problems] == ["invalid JSON"]


def test_an_unfinished_run_is_not_read(tmp_path: Path) -> None:
    """Its records are not all there."""
    with pytest.raises(FileNotFoundError, match="not finished"):
        list(read_records(tmp_path))


def test_an_answer_that_names_noise_breaks_the_promise() -> None:
    """Nothing of the kind is ever written."""
    noise = ConceptRecord(name="bo", image="bo.jpg", info="", noise=True)
    wrong = RapRecord(id="1", images=(), conversations=RECORD.conversations, extra=(noise,))
    assert not broken_promise(RECORD) and "<bo>" in broken_promise(wrong)
