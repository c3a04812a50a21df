"""JSON files read one element at a time, each with the line that it stands in.

A dataset's annotations are one document of gigabytes: only a window of the text is held, so that memory does
not grow with the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rap_serve.cli.json_place import position_of
from training.data.problems import Problem

WINDOW_CHARACTERS = 1 << 20
MOST_CHARACTERS = 1 << 26  # of one element; what is larger is no list of small records
_NUMBER_REST = 3  # "1" reads as a number where the window ends, though "e+5" may follow
_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class InvalidJson(ValueError):
    """Text that is not JSON; its only argument is the ``Problem``."""

    @property
    def problem(self) -> Problem:
        return self.args[0]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Located:
    """A value of a document. ``key``: the member of the document it belongs to, empty in a top-level array."""

    value: Any
    key: str
    where: str
    line: int
    text: str = field(repr=False)

    def line_of(self, *path: str | int) -> int:
        """The line of what ``path`` leads to inside the value, or of the last step of it that is there."""
        return self.line + self.text.count("\n", 0, position_of(self.text, path))

    def place_of(self, *path: str | int) -> str:
        """How problems call that part: ``annotations[3].bbox``."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        return (self.where + "".join(steps)).lstrip(".")


def items(
    path: Path, *, walk: Collection[str] = (), shown: str = "", window: int = WINDOW_CHARACTERS
) -> Iterator[Located]:
    """The elements of a top-level array, or the members of a top-level object, in the order of the file.

    The arrays of the members named in ``walk`` are given element by element, the other members whole.
    ``shown``: what problems call the file; ``window``: characters read at a time. Raises InvalidJson, with the line.
    """
    shown = shown or path.name
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _document(_Window(file, shown, window), walk)
    except UnicodeDecodeError as error:
        raise InvalidJson(Problem("invalid JSON", shown, None, "", f"not UTF-8: {error.reason}")) from error


def lines(path: Path, *, shown: str = "") -> Iterator[Located | Problem]:
    """Each line of a JSON Lines file, or what is wrong with it; empty lines are left out."""
    shown = shown or path.name
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                yield Located(json.loads(text), "", "", number, text)
            except ValueError as error:
                yield Problem("invalid JSON", shown, number, "", str(error))


def _document(window: _Window, walk: Collection[str]) -> Iterator[Located]:
    opening = window.peek()
    if opening == "[":
        yield from _elements(window, "")
    elif opening == "{":
        yield from _members(window, walk)
    else:
        raise window.broken("a list or an object was expected")
    if window.peek():
        raise window.broken("there is more after the end of the document")


def _members(window: _Window, walk: Collection[str]) -> Iterator[Located]:
    window.take("{")
    first = True
    while window.peek() != "}":
        if not first:
            window.take(",")
        first = False
        key = window.value().value
        if not isinstance(key, str):
            raise window.broken("a member's name was expected")
        window.take(":")
        if key in walk and window.peek() == "[":
            yield from _elements(window, key)
        else:
            yield window.value(key, key)
    window.take("}")


def _elements(window: _Window, key: str) -> Iterator[Located]:
    window.take("[")
    place = 0
    while window.peek() != "]":
        if place:
            window.take(",")
        yield window.value(key, f"{key}[{place}]")
        place += 1
    window.take("]")


class _Window:
    """The part of a file's text that is being read, and the line that it has come to."""

    def __init__(self, file: TextIO, name: str, size: int) -> None:
        self._file, self._name, self._size = file, name, size
        self._text, self._at, self._line, self._ended = "", 0, 1, False

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            assert match is not None  # it matches nothing, too
            self._advance(match.end())
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def take(self, expected: str) -> None:
        """Step over ``expected``; raises InvalidJson where something else stands there."""
        if self.peek() != expected:
            raise self.broken(f"{expected!r} was expected")
        self._advance(self._at + 1)

    def value(self, key: str = "", where: str = "") -> Located:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end + _NUMBER_REST < len(self._text) or self._ended:
                    break
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > MOST_CHARACTERS:
                    self._advance(max(self._at, error.pos))
                    raise self.broken(error.msg, where) from error
            self._more()
        found = Located(value, key, where, self._line, self._text[self._at : end])
        self._advance(end)
        return found

    def broken(self, detail: str, where: str = "") -> InvalidJson:
        return InvalidJson(Problem("invalid JSON", self._name, self._line, where, detail))

    def _more(self) -> None:
        chunk = self._file.read(self._size)
        self._text, self._at, self._ended = self._text[self._at :] + chunk, 0, not chunk

    def _advance(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end
