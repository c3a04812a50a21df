"""Where in the picture the recognised concepts are, in words for a prompt.

Retrieval knows the place of each concept that it found; a small model that hardly sees places can then read them.
"""

from collections.abc import Sequence
from itertools import permutations

from rap_serve.domain.region import BoxShares

OFF_MIDDLE = 0.1
"""Share of the picture's side by which something is off the middle before a side is named."""

MOST_RELATED = 3
"""Concepts with a place up to which each is also put in relation to the others; more would make the line long."""

BEGINNING, MIDDLE = "In the picture: ", "in the middle"
_SIDES = (("on the left", "on the right"), ("at the top", "at the bottom"))
_RELATIONS = (("left of", "right of"), ("above", "below"))
_WHOLE = 0.999


def places_line(placed: Sequence[tuple[str, BoxShares]]) -> str:
    """One line with where each concept is: ``In the picture: <bo> is on the left, left of <luna>; ...``.

    ``placed``: handles as prompts write them, with their boxes. Empty where there is nothing to say. A box around the
    whole picture tells no place.
    """
    said = [f"{handle} is {', '.join(words)}" for handle, words in place_words(placed).items()]
    return f"{BEGINNING}{'; '.join(said)}.\n" if said else ""


def place_words(placed: Sequence[tuple[str, BoxShares]]) -> dict[str, list[str]]:
    """What the line says of each handle, in their order: its sides, then how it stands to the others."""
    known = [(handle, box) for handle, box in placed if not _is_whole(box)]
    told = {handle: list(sides(box)) for handle, box in known}
    if len(known) <= MOST_RELATED:
        for (first, box), (second, other) in permutations(known, 2):
            told[first] += [f"{relation} {second}" for relation in relations(box, other)]
    return told


def sides(box: BoxShares) -> tuple[str, ...]:
    """The sides that something is on, across before down; ``in the middle`` where it is on none."""
    off = zip(_SIDES, _off_middle(box), strict=True)
    return tuple(pair[apart > 0] for pair, apart in off if abs(apart) > OFF_MIDDLE) or (MIDDLE,)


def relations(box: BoxShares, other: BoxShares) -> tuple[str, ...]:
    """How one thing stands to another: ``left of``, ``above`` and so on.

    A relation holds where the middles are further apart than half of the larger thing's side.
    """
    found = []
    for axis, pair in enumerate(_RELATIONS):
        apart = _off_middle(box)[axis] - _off_middle(other)[axis]
        if abs(apart) > max(box[axis + 2] - box[axis], other[axis + 2] - other[axis]) / 2:
            found.append(pair[apart > 0])
    return tuple(found)


def _off_middle(box: BoxShares) -> tuple[float, float]:
    return (box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - 0.5


def _is_whole(box: BoxShares) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) >= _WHOLE
