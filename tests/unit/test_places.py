"""Where the concepts are, in words."""

import numpy as np
import pytest

from rap_serve.domain.places import MOST_RELATED, place_words, places_line, relations, sides
from rap_serve.domain.region import shares_of
from training.world.scene import Scene
from training.world.scene import relations as world_relations
from training.world.things import sample_thing

BO = (0.0, 0.6, 0.3, 0.9)
LUNA = (0.7, 0.05, 0.95, 0.4)
CENTRE = (0.3, 0.3, 0.75, 0.75)


def test_the_line_says_of_each_where_it_is_and_how_it_stands_to_the_others() -> None:
    """Sides first, then relations, both ways."""
    assert places_line([("<bo>", BO), ("<luna>", LUNA)]) == (
        "In the picture: <bo> is on the left, at the bottom, left of <luna>, below <luna>; "
        "<luna> is on the right, at the top, right of <bo>, above <bo>.\n"
    )


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (BO, ("on the left", "at the bottom")),
        (LUNA, ("on the right", "at the top")),
        (CENTRE, ("in the middle",)),
        ((0.0, 0.3, 0.3, 0.7), ("on the left",)),
        ((0.2, 0.8, 0.8, 1.0), ("at the bottom",)),
    ],
)
def test_a_side_is_named_only_where_something_is_clearly_off_the_middle(box, said) -> None:
    """Across before down; in the middle where neither holds."""
    assert sides(box) == said


def test_relations_are_left_out_of_long_lines() -> None:
    """More concepts than ``MOST_RELATED`` get their sides alone."""
    boxes = [(0.2 * i, 0.0, 0.2 * i + 0.1, 0.1) for i in range(MOST_RELATED + 1)]
    handles = [f"<{i}>" for i in range(len(boxes))]
    some = place_words(list(zip(handles, boxes, strict=True))[:MOST_RELATED])
    assert "left of <1>" in some["<0>"]
    assert all(
        " of " not in word for words in place_words(list(zip(handles, boxes, strict=True))).values() for word in words
    )


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    """No places, or a box around the whole picture."""
    assert places_line([]) == ""
    assert places_line([("<bo>", (0.0, 0.0, 1.0, 1.0))]) == ""


def test_things_stand_to_each_other_as_the_world_says() -> None:
    """The same rule as the drawn scenes', whatever the picture's shape."""
    rng = np.random.default_rng(0)
    things = tuple(sample_thing(rng, split="train") for _ in range(4))
    for _ in range(50):
        corners, sizes = rng.uniform(0, 120, (4, 2)), rng.uniform(20, 80, (4, 2))
        boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
        scene = Scene(np.zeros((200, 300, 3), np.uint8), things, boxes)
        shares = [shares_of(tuple(float(v) for v in box), 300, 200) for box in boxes]  # type: ignore[arg-type]
        mine = {(i, r, j) for i in range(4) for j in range(4) if i != j for r in relations(shares[i], shares[j])}
        assert mine == {(i, r, j) for i, r, j in world_relations(scene) if r != "in front of"}
