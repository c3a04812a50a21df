"""A folder of photographs with a file of boxes, in one of two forms.

A list names the things in each picture: ``[{"image", "objects": [{"name", "box_xyxy"}]}]``. An object gives one
box, or several, by picture: ``{"mug.jpg": [x0, y0, x1, y1]}``. A database in RAP's form (``concept_dict``) adds
what is known of each name: category, info and a picture of its own, whose box an object of boxes may give.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rap_serve.domain.region import BoxXyxy
from training.data.crops import box_fault
from training.data.json_stream import InvalidJson, Located, items
from training.data.listing import ListedBox, ListedPicture, Listing, is_name, write_listing
from training.data.problems import Problem

UNKNOWN_CATEGORY = "object"


@dataclass(frozen=True, slots=True)
class Known:
    """What a database tells about a name."""

    category: str
    info: str
    image: str


def list_photographs(
    boxes: Path,
    listing: Path,
    *,
    database: Path | None = None,
    avatar_boxes: Path | None = None,
    vocabulary: Collection[str] = (),
    problems: list[Problem],
) -> Listing:
    """The pictures that have a usable box, in the order of the file; what is wrong goes to ``problems``.

    With a ``database`` a name that it lacks is an unknown label; ``vocabulary`` does the same for categories.
    Raises InvalidJson.
    """
    known = _known(database, problems) if database else {}
    avatars = _avatars(avatar_boxes, problems) if avatar_boxes else {}
    names = {content.image: name for name, content in known.items()}
    reader = _Reader(boxes.name, known if database else None, names, avatars, set(vocabulary), problems)
    return write_listing(listing, reader.pictures(boxes))


@dataclass(frozen=True, slots=True)
class _Reader:
    file: str
    known: dict[str, Known] | None
    names: dict[str, str]
    avatars: dict[str, BoxXyxy]
    vocabulary: set[str]
    problems: list[Problem]

    def pictures(self, boxes: Path) -> Iterator[ListedPicture]:
        for item in items(boxes):
            path, found = self._by_picture(item) if item.key else self._in_list(item)
            if path and found:
                yield ListedPicture(path=path, boxes=tuple(found), file=self.file, line=item.line, where=item.where)

    def _by_picture(self, item: Located) -> tuple[str, list[ListedBox]]:
        """A member of an object: the path is its name, the thing is the database's for that path."""
        several = isinstance(item.value, list) and bool(item.value) and isinstance(item.value[0], list)
        boxes = item.value if several else [item.value]
        found = []
        for number, box in enumerate(boxes):
            path: tuple[int, ...] = (number,) if several else ()
            if listed := self._listed(item, box, self.names.get(item.key, ""), path):
                key = listed.key if listed.name else f"{listed.key} {number}"
                found.append(replace(listed, avatar="", key=key))
        return item.key, found

    def _in_list(self, item: Located) -> tuple[str, list[ListedBox]]:
        value = item.value
        if not isinstance(value, dict) or not isinstance(value.get("image"), str):
            self._report("wrong format", item, (), "an object with an image was expected")
            return "", []
        objects = value.get("objects", [])
        if not isinstance(objects, list):
            self._report("wrong format", item, ("objects",), "objects is a list")
            return "", []
        found = []
        for number, thing in enumerate(objects):
            path = ("objects", number)
            name = thing.get("name") if isinstance(thing, dict) else None
            if not is_name(name):
                self._report("no name", item, path, f"{name!r} is no name")
            elif listed := self._listed(item, thing.get("box_xyxy"), name, (*path, "box_xyxy")):
                found.append(listed)
        return value["image"], found

    def _listed(self, item: Located, box: Any, name: str, path: tuple[str | int, ...]) -> ListedBox | None:
        if fault := box_fault(box):
            self._report("broken box", item, path, f"{json.dumps(box)}: {fault}")
            return None
        known = (self.known or {}).get(name, Known(UNKNOWN_CATEGORY, "", ""))
        if self.known is not None and name not in self.known:
            detail = f"the database has no {name!r}" if name else "the database has no such picture"
            self._report("unknown label", item, path[:-1], detail)
            return None
        if self.vocabulary and known.category not in self.vocabulary:
            self._report("unknown label", item, path[:-1], f"{known.category!r} is not in the vocabulary")
            return None
        return ListedBox(
            key=f"name {name}" if name else f"picture {item.key}",
            category=known.category,
            box_xyxy=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            name=name,
            text=known.info,
            avatar=known.image,
            avatar_box_xyxy=self.avatars.get(known.image),
            line=item.line_of(*path),
            where=item.place_of(*path),
        )

    def _report(self, kind: Any, item: Located, path: tuple[str | int, ...], detail: str) -> None:
        where = item.place_of(*path)
        self.problems.append(Problem(kind, self.file, item.line_of(*path), where, detail))


def _known(database: Path, problems: list[Problem]) -> dict[str, Known]:
    """The concepts of a database by name. Raises InvalidJson where it is none."""
    member = next((item for item in items(database) if item.key == "concept_dict"), None)
    if member is None or not isinstance(member.value, dict):
        raise InvalidJson(Problem("wrong format", database.name, 1, "", "a database has a concept_dict"))
    known: dict[str, Known] = {}
    for key, content in member.value.items():
        name = content.get("name") if isinstance(content, dict) else None
        line, where = member.line_of(key), f"concept_dict[{json.dumps(key)}]"
        if not is_name(name):
            problems.append(Problem("no name", database.name, line, where, f"{name!r} is no name"))
        elif name in known:
            problems.append(Problem("name twice", database.name, line, where, f"{name!r} was there before"))
        else:
            category = str(content.get("category") or UNKNOWN_CATEGORY)
            known[name] = Known(category, str(content.get("info", "")), str(content.get("image", "")))
    return known


def _avatars(file: Path, problems: list[Problem]) -> dict[str, BoxXyxy]:
    """The boxes of the avatars by path."""
    boxes: dict[str, BoxXyxy] = {}
    for item in items(file):
        if fault := box_fault(item.value):
            detail = f"{json.dumps(item.value)}: {fault}"
            problems.append(Problem("broken box", file.name, item.line, item.where, detail))
        else:
            boxes[item.key] = tuple(float(v) for v in item.value)  # type: ignore[assignment]
    return boxes
