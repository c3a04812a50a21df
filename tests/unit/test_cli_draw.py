"""Pictures with boxes and names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from rap_serve.cli.client import CliError
from rap_serve.cli.draw import COLOURS, LEAST_SIDE_PX, MOST_SIDE_PX, Mark, annotated, annotated_file

LONG_NAME = "a-very-long-name-of-sixty-four-letters-which-is-as-long-as-allowed"


def pixels_of(image: Image.Image, colour: str) -> int:
    """How many pixels have that very colour."""
    return int((np.asarray(image) == ImageColor.getrgb(colour)).all(axis=2).sum())


@pytest.mark.parametrize("size", [(1, 1), (8, 5), (2, 900), (900, 2), (320, 320), (1600, 1200)])
def test_any_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    """Boxes at, on and beyond the edges, and a name wider than the picture."""
    marks = [
        Mark((0, 0, size[0], size[1]), LONG_NAME),
        Mark((-5, -5, 3, 3), "bo"),
        Mark((size[0] - 1, 0, size[0] + 9, 2), "x"),
    ]
    drawn = annotated(Image.new("RGB", size, "white"), marks)
    assert max(drawn.size) <= max(MOST_SIDE_PX, *size)
    assert pixels_of(drawn, "white") < drawn.width * drawn.height


def test_a_small_picture_is_enlarged_until_a_label_can_be_read() -> None:
    """A label of 16 pixels in a thumbnail would hide it."""
    assert min(annotated(Image.new("RGB", (64, 48)), [Mark((1, 1, 20, 20), "bo")]).size) == LEAST_SIDE_PX


def test_each_concept_has_a_colour_and_keeps_it() -> None:
    """Two boxes of one name look alike, another name does not."""
    white = Image.new("RGB", (600, 600), "white")
    drawn = annotated(
        white, [Mark((10, 50, 90, 90), "bo"), Mark((10, 350, 90, 390), "bo"), Mark((300, 50, 400, 90), "x")]
    )
    assert pixels_of(drawn, COLOURS[0]) > 0 and pixels_of(drawn, COLOURS[1]) > 0
    assert pixels_of(drawn, COLOURS[2]) == 0


def test_labels_at_one_place_do_not_hide_each_other() -> None:
    """The second moves down."""
    one = annotated(Image.new("RGB", (600, 600), "white"), [Mark((100, 100, 200, 200), "bo")])
    two = annotated(Image.new("RGB", (600, 600), "white"), [Mark((100, 100, 200, 200), n) for n in ("bo", "luna")])
    label = (100, 60, 110, 98)
    assert pixels_of(one.crop(label), COLOURS[0]) == pixels_of(two.crop(label), COLOURS[0]) > 0
    assert pixels_of(two, COLOURS[1]) > pixels_of(one, COLOURS[1])


def test_many_concepts_share_colours_rather_than_fail() -> None:
    """There are more names than colours."""
    marks = [Mark((i, i, i + 50, i + 50), f"n{i}") for i in range(30)]
    annotated(Image.new("RGB", (640, 480)), marks)


def test_a_turned_photograph_is_drawn_on_upright(tmp_path: Path) -> None:
    """Boxes are in the picture as a person sees it."""
    photo = Image.new("RGB", (600, 500))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "in.jpg", exif=exif)
    annotated_file(tmp_path / "in.jpg", [], tmp_path / "made" / "out.png")
    with Image.open(tmp_path / "made" / "out.png") as drawn:
        assert drawn.size == (500, 600)


def test_an_unknown_ending_is_a_message(tmp_path: Path) -> None:
    """Which says what could not be written."""
    Image.new("RGB", (9, 9)).save(tmp_path / "in.png")
    with pytest.raises(CliError, match=r"out\.what"):
        annotated_file(tmp_path / "in.png", [], tmp_path / "out.what")
