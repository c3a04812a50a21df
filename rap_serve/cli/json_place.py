"""Where in a JSON text a value begins, so that what is wrong with it can be said with its line."""

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

Place: TypeAlias = Sequence[str | int]
"""Keys and indices from the top of the text."""

_SEPARATORS = re.compile(r"[\s,:]*")
_DECODER = json.JSONDecoder()


def position_of(text: str, place: Place) -> int:
    """The position of the value at ``place`` of a valid JSON text; of the last part of the way that is there."""
    position = _skip(text, 0)
    for step in place:
        found = _child(text, position, step)
        if found is None:
            break
        position = found
    return position


def _child(text: str, position: int, step: str | int) -> int | None:
    """Where the member of the object or array at ``position`` begins; None where there is none."""
    opening, position, index = text[position], _skip(text, position + 1), 0
    while opening in "{[" and text[position] not in "}]":
        key: str | int = index
        if opening == "{":
            key, position = _DECODER.raw_decode(text, position)
            position = _skip(text, position)
        if key == step:
            return position
        _, position = _DECODER.raw_decode(text, position)
        position, index = _skip(text, position), index + 1
    return None


def _skip(text: str, position: int) -> int:
    found = _SEPARATORS.match(text, position)
    return found.end() if found else position
