"""Bad data: what is wrong, and in which file and line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "invalid JSON",
    "wrong format",
    "missing image",
    "unreadable image",
    "size differs",
    "broken box",
    "no name",
    "name twice",
    "id twice",
    "unknown label",
    "unknown image",
    "not described",
]
Bad: TypeAlias = Literal["skip", "refuse"]
"""What becomes of bad data: left out and reported, or the reason to stop."""

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be used. ``where``: the place inside the file, such as ``annotations[3].bbox``.

    ``line`` counts from 1 and is None where the file has no lines.
    """

    kind: Kind
    file: str
    line: int | None
    where: str
    detail: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        inside = f" ({self.where})" if self.where else ""
        return f"{place}: {self.kind}{inside}: {self.detail}"

    def json(self) -> dict[str, Any]:
        return asdict(self)


class BadData(Exception):
    """Data that was to be refused; the message lists what is wrong with it."""


def refused(problems: Iterable[Problem]) -> BadData:
    """The error that names the first of ``problems`` and how many there are of each kind."""
    found = list(problems)
    lines = [str(problem) for problem in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"... and {len(found) - MOST_SHOWN} more")
    counts = ", ".join(f"{count} x {kind}" for kind, count in counted(found).items())
    return BadData("\n".join([f"Refused for bad data ({counts}):", *lines]))


def counted(problems: Iterable[Problem]) -> dict[str, int]:
    """How many of each kind, by name."""
    return dict(sorted(Counter(problem.kind for problem in problems).items()))
