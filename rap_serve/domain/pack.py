"""Concepts on their way from one place to another: a zip archive of pictures and one list of what they show.

Two lists are understood. Ours, ``concepts.ndjson``: a line that says what it is, then a concept a line. RAP's,
``database.json``: ``{"concept_dict": {"<bo>": {"name", "image", "info", "category"}}}``, with boxes in
``avatar_boxes.json`` beside it if there are any. Neither holds embeddings, so that both outlive every embedder.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from rap_serve.domain.concept import Concept
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.region import BoxXyxy

FORMAT, VERSION = "rap-concepts", 1
LIST_FILE = "concepts.ndjson"
DATABASE_FILE = "database.json"
BOXES_FILE = "avatar_boxes.json"
PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class PackedAvatar:
    """A picture's name in the archive, and the box in its pixels. ``shows``: false for a correction."""

    picture: str
    box_xyxy: BoxXyxy | None = None
    shows: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedConcept:
    """What an archive says of a concept. ``line``: where, counted from 1."""

    line: int
    name: str
    category: str = ""
    info: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    avatars: tuple[PackedAvatar, ...]


@dataclass(frozen=True, slots=True)
class PackProblem:
    """A line that cannot be taken over, and why."""

    line: int
    code: str
    message: str
    name: str = ""


PackLine: TypeAlias = PackedConcept | PackProblem


def listed(lines: Sequence[str]) -> Iterator[PackLine]:
    """What our list holds; raises InvalidInput where its first line does not say that it is one."""
    head = _json(lines[0]) if lines else None
    if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("version") != VERSION:
        raise InvalidInput(f'{LIST_FILE} begins with {{"format": "{FORMAT}", "version": {VERSION}}}.')
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            yield _read(number, _json(line))


def from_database(database: Any, boxes: Any) -> Iterator[PackLine]:
    """What RAP's database holds, an entry counting as a line; raises InvalidInput where it is none."""
    entries = database.get("concept_dict") if isinstance(database, dict) else None
    if not isinstance(entries, dict):
        raise InvalidInput(f"{DATABASE_FILE} has no concept_dict.")
    known = {_plain(name): box for name, box in boxes.items()} if isinstance(boxes, dict) else {}
    for number, (key, value) in enumerate(entries.items(), 1):
        if not isinstance(value, dict):
            yield PackProblem(number, "invalid_line", f"{key!r} is not an object.")
            continue
        images = value.get("image")
        pictures = [images] if isinstance(images, str) else images if isinstance(images, list) else []
        avatars = [{"picture": str(p), "box_xyxy": known.get(_plain(str(p)))} for p in pictures]
        texts = {"name": value.get("name") or key, "info": value.get("info") or ""}
        yield _read(number, {**texts, "category": value.get("category") or "", "avatars": avatars})


def head_line() -> str:
    """The first line of our list."""
    return json.dumps({"format": FORMAT, "version": VERSION})


def line_of(concept: Concept, avatars: Sequence[PackedAvatar]) -> str:
    """The line of a concept. Text that the service wrote itself is left out: it is written anew."""
    return json.dumps(
        {
            "name": concept.name,
            "category": concept.category,
            "info": "" if concept.info_generated else concept.info,
            "metadata": dict(concept.metadata),
            "avatars": [_avatar_json(a) for a in avatars],
        },
        ensure_ascii=True,
    )


def _avatar_json(avatar: PackedAvatar) -> dict[str, Any]:
    packed: dict[str, Any] = {"picture": avatar.picture, "box_xyxy": avatar.box_xyxy}
    return packed if avatar.shows else {**packed, "shows": False}


def _read(number: int, value: Any) -> PackLine:
    if not isinstance(value, dict):
        return PackProblem(number, "invalid_line", "This is not a JSON object.")
    name = str(value.get("name") or "")
    try:
        texts = {k: _text(value, k) for k in ("name", "category", "info")}
        metadata = value.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise InvalidInput("metadata is an object of texts.")
        plain = {str(k): str(v) for k, v in metadata.items()}
        return PackedConcept(line=number, **texts, metadata=plain, avatars=_avatars(value.get("avatars")))
    except InvalidInput as error:
        return PackProblem(number, error.code, str(error), name)


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key) or ""
    if not isinstance(text, str):
        raise InvalidInput(f"{key} is a text.")
    return text


def _avatars(value: Any) -> tuple[PackedAvatar, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(a, dict) for a in value):
        raise InvalidInput("A concept has at least one avatar: avatars is a list of objects.")
    return tuple(
        PackedAvatar(_plain(str(a.get("picture") or "")), _box(a.get("box_xyxy")), a.get("shows") is not False)
        for a in value
    )


def _box(value: Any) -> BoxXyxy | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(isinstance(v, int | float) for v in value):
        raise InvalidInput("box_xyxy is four numbers.")
    return (float(value[0]), float(value[1]), float(value[2]), float(value[3]))


def _plain(path: str) -> str:
    """A path without the parts that mean nothing."""
    return str(PurePosixPath(path.replace("\\", "/")))


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
