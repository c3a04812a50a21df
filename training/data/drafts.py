"""A picture with the concepts that may be asked about, before it becomes conversations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from training.data.problems import Problem
from training.data.records import BoxFractions


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that may get a record. ``crops``: paths of its avatars, the first one as it was cut out.

    ``phrase`` is what it looks like ("a red mug"), empty until it is described; ``info`` is an owner's own text,
    used as it is. ``remark`` goes behind either. ``questions`` come with their answers, {} for the name.
    """

    key: str
    category: str
    crops: tuple[str, ...]
    box: BoxFractions | None = None
    name: str = ""
    phrase: str = ""
    info: str = ""
    remark: str = ""
    questions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A picture: what is in it, what is not but could be asked about, and what else can be seen.

    ``relations`` say how ``present`` things stand to each other: (1, "left of", 0).
    """

    place: int
    picture: str
    present: tuple[Candidate, ...]
    absent: tuple[Candidate, ...] = ()
    others: tuple[str, ...] = ()
    relations: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a shard is made of. ``files``: contents by path, both relative to the run's folder."""

    drafts: tuple[Draft, ...]
    files: dict[str, bytes]
    problems: tuple[Problem, ...] = ()


class Source(Protocol):
    """Where pictures come from. Everything is a function of the seed and the place of a picture."""

    @property
    def count(self) -> int | None:
        """How many pictures there are; None where they never end."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides what the pictures are, for the manifest."""

    def material(self, places: range, *, seed: int, folder: str) -> Material:
        """The pictures at ``places``; new files go below ``folder``."""


def drafts_to_json(drafts: Sequence[Draft]) -> str:
    """The drafts as one text."""
    return json.dumps([asdict(draft) for draft in drafts])


def drafts_from_json(text: str) -> tuple[Draft, ...]:
    """What ``drafts_to_json`` wrote."""
    return tuple(_draft(content) for content in json.loads(text))


def _draft(content: dict[str, Any]) -> Draft:
    return Draft(
        place=content["place"],
        picture=content["picture"],
        present=tuple(_candidate(c) for c in content["present"]),
        absent=tuple(_candidate(c) for c in content["absent"]),
        others=tuple(content["others"]),
        relations=tuple((i, words, j) for i, words, j in content["relations"]),
    )


def _candidate(content: dict[str, Any]) -> Candidate:
    box = content["box"]
    return Candidate(
        **{
            **content,
            "crops": tuple(content["crops"]),
            "box": tuple(box) if box is not None else None,
            "questions": tuple((question, answer) for question, answer in content["questions"]),
        }
    )
