"""Detection datasets in COCO's form: ``images``, ``annotations`` and ``categories`` in one JSON document.

RefCOCO, Objects365 and the like come so. Beyond COCO's own fields an annotation may carry a ``name``, and what is
said of it: a ``caption``, or RefCOCO's ``sentences``. Boxes are ``[left, top, width, height]`` in pixels; crowds
(``iscrowd``) are left out. Format: cocodataset.org, "Data format".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from training.data.crops import box_fault
from training.data.json_stream import Located, items
from training.data.listing import ListedBox, ListedPicture, Listing, is_name, keep, scratch
from training.data.problems import Problem

PARTS = ("images", "annotations", "categories")
_TABLES = """
CREATE TABLE image (id TEXT PRIMARY KEY, path TEXT, width INTEGER, height INTEGER, line INTEGER, place TEXT);
CREATE TABLE annotation (image TEXT, content TEXT, line INTEGER, box_line INTEGER, place TEXT);
CREATE TABLE category (id TEXT PRIMARY KEY, name TEXT);
"""


def list_coco(annotations: Path, listing: Path, *, vocabulary: Collection[str], problems: list[Problem]) -> Listing:
    """The pictures that have a usable box, in the order of the file; what is wrong goes to ``problems``.

    ``vocabulary``: the labels that may occur; empty for all of the file's categories. Raises InvalidJson.
    """
    with scratch(listing) as database:
        database.executescript(_TABLES)
        found = _Reader(annotations.name, database, vocabulary, problems)
        for item in items(annotations, walk=PARTS):
            found.add(item)
        database.execute("CREATE INDEX of_image ON annotation (image)")
        found.find_strays()
        keep(database, found.pictures())
        database.executescript("DROP TABLE image; DROP TABLE annotation; DROP TABLE category")
    return Listing(listing)


class _Reader:
    """Keeps the file's parts in tables, for they come in any order, and joins them."""

    def __init__(
        self, file: str, database: sqlite3.Connection, vocabulary: Collection[str], problems: list[Problem]
    ) -> None:
        self._file, self._database, self._problems = file, database, problems
        self._vocabulary = set(vocabulary)

    def add(self, item: Located) -> None:
        """Keep one element; what is no record at all is a problem."""
        if item.key not in PARTS:
            return
        value = item.value
        if not isinstance(value, dict) or "id" not in value:
            self._report("wrong format", item, "an object with an id was expected")
        elif item.key == "images":
            self._image(item, value)
        elif item.key == "categories":
            self._category(item, value)
        elif not value.get("iscrowd"):
            row = (str(value.get("image_id")), item.text, item.line, item.line_of("bbox"), item.where)
            self._database.execute("INSERT INTO annotation VALUES (?, ?, ?, ?, ?)", row)

    def find_strays(self) -> None:
        """Report the annotations of pictures that are not listed."""
        query = "SELECT image, content, line, place FROM annotation WHERE image NOT IN (SELECT id FROM image)"
        for image, content, line, place in self._database.execute(query):
            where = _where(place, json.loads(content))
            self._problems.append(Problem("unknown image", self._file, line, where, f"there is no image {image}"))

    def pictures(self) -> Iterator[ListedPicture]:
        """Every picture with its usable boxes, if it has any."""
        query = "SELECT id, path, width, height, line, place FROM image ORDER BY rowid"
        for image, path, width, height, line, place in self._database.execute(query):
            size = (width, height) if width and height else None
            rows = self._database.execute("SELECT * FROM annotation WHERE image = ? ORDER BY rowid", (image,))
            boxes = tuple(box for row in rows.fetchall() if (box := self._box(row, size)))
            if boxes:
                yield ListedPicture(path=path, size=size, boxes=boxes, file=self._file, line=line, where=place)

    def _image(self, item: Located, value: dict[str, Any]) -> None:
        path, sides = value.get("file_name"), (value.get("width"), value.get("height"))
        if not isinstance(path, str) or not path:
            self._report("wrong format", item, "an image needs a file_name")
            return
        width, height = sides if all(isinstance(s, int) and s > 0 for s in sides) else (None, None)
        row = (str(value["id"]), path, width, height, item.line, item.where)
        self._once("INSERT INTO image VALUES (?, ?, ?, ?, ?, ?)", row, item)

    def _category(self, item: Located, value: dict[str, Any]) -> None:
        if not isinstance(value.get("name"), str) or not value["name"].strip():
            self._report("no name", item, "a category needs a name")
            return
        self._once("INSERT INTO category VALUES (?, ?)", (str(value["id"]), value["name"].strip()), item)

    def _once(self, statement: str, row: tuple[object, ...], item: Located) -> None:
        try:
            self._database.execute(statement, row)
        except sqlite3.IntegrityError:
            self._report("id twice", item, f"the id {row[0]} was there before")

    def _box(self, row: tuple[str, str, int, int, str], size: tuple[int, int] | None) -> ListedBox | None:
        _, text, line, box_line, place = row
        value = json.loads(text)
        where = _where(place, value)
        box = _xyxy(value.get("bbox"))
        if fault := box_fault(box, size):
            detail = f"{json.dumps(value.get('bbox'))}: {fault}"
            self._problems.append(Problem("broken box", self._file, box_line, f"{where}.bbox", detail))
            return None
        label = self._label(value.get("category_id"))
        if not label or (self._vocabulary and label not in self._vocabulary):
            detail = f"{label!r} is not in the vocabulary" if label else f"no category {value.get('category_id')}"
            self._problems.append(Problem("unknown label", self._file, line, where, detail))
            return None
        name = value.get("name", "")
        if name and not is_name(name):
            self._problems.append(Problem("no name", self._file, line, where, f"{name!r} cannot be a name"))
            return None
        key = f"name {name}" if name else f"annotation {value['id']}"
        return ListedBox(
            key=key, category=label, box_xyxy=box, name=name, text=_said(value), line=line, where=where
        )  # fmt: skip

    def _label(self, category: object) -> str:
        row = self._database.execute("SELECT name FROM category WHERE id = ?", (str(category),)).fetchone()
        return str(row[0]) if row else ""

    def _report(self, kind: Any, item: Located, detail: str) -> None:
        self._problems.append(Problem(kind, self._file, item.line, _where(item.where, item.value), detail))


def _xyxy(box: Any) -> Any:
    """COCO's corner and extent as two corners; anything else as it is."""
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box)
    return (box[0], box[1], box[0] + box[2], box[1] + box[3]) if numbers else box


def _said(value: dict[str, Any]) -> str:
    sentences = value.get("sentences")
    first = sentences[0] if isinstance(sentences, list) and sentences else None
    sent = first.get("sent") if isinstance(first, dict) else first
    text = value.get("caption") or sent
    return text.strip() if isinstance(text, str) else ""


def _where(place: str, value: Any) -> str:
    identity = value.get("id") if isinstance(value, dict) else None
    return place if identity is None else f"{place}, id {identity}"
