"""The pictures of a dataset and their boxes, on disk: nothing of it is held in memory."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from rap_serve.domain.concept import checked_name
from rap_serve.domain.errors import InvalidName
from rap_serve.domain.region import BoxXyxy

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBox:
    """A box in a picture. ``key``: two boxes with one key show one thing. ``text``: what its owner says of it.

    ``avatar``: another picture of it, relative to the folder of the pictures, with its box.
    """

    key: str
    category: str
    box_xyxy: BoxXyxy
    name: str = ""
    text: str = ""
    avatar: str = ""
    avatar_box_xyxy: BoxXyxy | None = None
    line: int | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPicture:
    """A picture of a dataset. ``size``: width and height, where the dataset tells. ``file``: where it is listed."""

    path: str
    boxes: tuple[ListedBox, ...]
    file: str
    size: tuple[int, int] | None = None
    line: int | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A file of listed pictures in a fixed order."""

    file: Path

    def count(self) -> int:
        with closing(sqlite3.connect(self.file)) as database:
            return int(database.execute("SELECT COUNT(*) FROM picture").fetchone()[0])

    def pictures(self, places: range) -> list[ListedPicture]:
        """Those at ``places``, which count from 0."""
        query = "SELECT content FROM picture WHERE place >= ? AND place < ? ORDER BY place"
        with closing(sqlite3.connect(self.file)) as database:
            rows = database.execute(query, (places.start, places.stop)).fetchall()
        return [_picture(json.loads(content)) for (content,) in rows]


def write_listing(file: Path, pictures: Iterable[ListedPicture]) -> Listing:
    """The pictures, in a new file."""
    with scratch(file) as database:
        keep(database, pictures)
    return Listing(file)


def keep(database: sqlite3.Connection, pictures: Iterable[ListedPicture]) -> None:
    """Add the pictures to a listing's database, in their order."""
    database.execute("CREATE TABLE picture (place INTEGER PRIMARY KEY, content TEXT)")
    rows = ((place, json.dumps(asdict(picture))) for place, picture in enumerate(pictures))
    database.executemany("INSERT INTO picture VALUES (?, ?)", rows)


@contextmanager
def scratch(file: Path) -> Iterator[sqlite3.Connection]:
    """A database in ``file``, which is there once everything is in it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        yield database
        database.commit()
    unfinished.replace(file)


def digest_of(path: Path) -> str:
    """A short digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def is_name(name: object) -> TypeGuard[str]:
    """Whether serving would take ``name`` as it is."""
    try:
        return isinstance(name, str) and checked_name(name) == name
    except InvalidName:
        return False


def _picture(content: dict[str, Any]) -> ListedPicture:
    size = content["size"]
    return ListedPicture(
        **{**content, "size": tuple(size) if size else None, "boxes": tuple(_box(box) for box in content["boxes"])}
    )


def _box(content: dict[str, Any]) -> ListedBox:
    avatar_box = content["avatar_box_xyxy"]
    return ListedBox(
        **{
            **content,
            "box_xyxy": tuple(content["box_xyxy"]),
            "avatar_box_xyxy": tuple(avatar_box) if avatar_box else None,
        }
    )
