"""The streaming JSON reader finds every element, and the line that it stands in."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.json_stream import InvalidJson, Located, items, lines
from training.data.problems import Problem

DOCUMENT = """{
  "info": {"year": 2026},
  "images": [
    {"id": 1,
     "file_name": "a\\nb.jpg"},
    {"id": 2}
  ],
  "annotations": [{"id": 5, "bbox": [1,
     2, 3, 4]}]
}
"""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def written(folder: Path, text: str, name: str = "labels.json") -> Path:
    """A file with the text."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_elements_come_with_their_places_and_lines(tmp_path: Path) -> None:
    """Walked arrays give elements, other members come whole."""
    found = list(items(written(tmp_path, DOCUMENT), walk=("images", "annotations")))
    assert [(f.where, f.line) for f in found] == [
        ("info", 2),
        ("images[0]", 4),
        ("images[1]", 6),
        ("annotations[0]", 8),
    ]
    assert found[1].value == {"id": 1, "file_name": "a\nb.jpg"}


def test_a_part_of_an_element_has_its_own_line(tmp_path: Path) -> None:
    """Down to a number in a box; what is not there has the line of the last step that is."""
    box = list(items(written(tmp_path, DOCUMENT), walk=("annotations",)))[-1]
    assert [box.line_of("id"), box.line_of("bbox"), box.line_of("bbox", 1), box.line_of("bbox", 9)] == [8, 8, 9, 8]
    assert box.place_of("bbox", 1) == "annotations[0].bbox[1]"


@pytest.mark.parametrize("window", [1, 2, 7, 64])
def test_the_window_may_end_anywhere(tmp_path: Path, window: int) -> None:
    """Elements that cross its edge are read whole."""
    file = written(tmp_path, DOCUMENT)
    read = [(f.where, f.line, f.value) for f in items(file, walk=("images", "annotations"), window=window)]
    assert read == [(f.where, f.line, f.value) for f in items(file, walk=("images", "annotations"))]


@given(values=st.lists(VALUES), indent=st.sampled_from([None, 1]), window=st.integers(1, 40))
def test_any_list_is_read_as_the_standard_library_reads_it(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], indent: int | None, window: int
) -> None:
    """Whatever is in it, and however it is laid out."""
    file = written(tmp_path_factory.mktemp("json"), json.dumps(values, indent=indent))
    found = list(items(file, window=window))
    assert [f.value for f in found] == values
    text = file.read_text(encoding="utf-8").splitlines()
    assert all(f.text.split("\n")[0] in text[f.line - 1] for f in found)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[\n{"id": 1},\n{"id": }\n]', 3),
        ('[\n{"id": 1}\n{"id": 2}\n]', 3),
        ('[\n{"id": 1},\n', 3),
        ("", 1),
        ('"text"', 1),
        ("[]\n[]", 2),
    ],
    ids=["no value", "no comma", "cut off", "empty", "no list", "two documents"],
)
def test_what_is_not_json_is_reported_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """The error carries the problem."""
    with pytest.raises(InvalidJson) as caught:
        list(items(written(tmp_path, text)))
    assert (caught.value.problem.kind, caught.value.problem.line) == ("invalid JSON", line)


def test_bytes_that_are_no_text_are_invalid(tmp_path: Path) -> None:
    """A picture given for the annotations, say."""
    file = tmp_path / "picture.json"
    file.write_bytes(b"[\xff\xd8\xff]")
    with pytest.raises(InvalidJson, match="UTF-8"):
        list(items(file))


def test_a_broken_line_leaves_the_others_readable(tmp_path: Path) -> None:
    """In JSON Lines each line stands for itself."""
    first, broken, last = lines(written(tmp_path, '{"id": 1}\n\n{"id"\n{"id": 2}\n', "r.jsonl"))
    assert isinstance(first, Located) and isinstance(last, Located) and isinstance(broken, Problem)
    assert (first.line, broken.line, last.line) == (1, 3, 4)
