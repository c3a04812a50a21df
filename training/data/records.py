"""Conversations in RAP's JSON format: ``id``, ``image``, ``conversations``, ``extra`` and ``type``.

``image`` is a picture, or a list of the picture and one avatar for each concept of the prompt, in the order of
the ``<image>`` placeholders. ``extra`` maps the path of each avatar to its concept. Source: the data page of
"RAP: Retrieval-Augmented Personalization for Multimodal LLMs", CVPR 2025, whose published files name only the
picture in ``image`` and leave the concepts out of the prompt; they are put in on reading, as serving does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rap_serve.domain.prompt import ConceptBlock, ImagePart, as_text, handle, rap_parts
from training.data.json_stream import InvalidJson, Located, items, lines
from training.data.problems import Bad, Problem, refused

RECORDS = "records.json"
PLACEHOLDER = "<image>"
BoxFractions: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture's width and height."""

_PICTURE = ImagePart(b"")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``sender`` is JSON's ``from``."""

    sender: Literal["human", "gpt"]
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptRecord:
    """What a prompt tells about a concept. ``noise``: it is not in the picture. ``box``: where it is in it."""

    name: str
    image: str
    info: str
    category: str = ""
    noise: bool = False
    box: BoxFractions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RapRecord:
    """A conversation about a picture. Paths are relative to the folder of the pictures."""

    id: str
    images: tuple[str, ...]
    conversations: tuple[Message, ...]
    extra: tuple[ConceptRecord, ...] = ()
    type: str = ""
    source: str = field(default="", compare=False)

    @property
    def exchanges(self) -> list[tuple[str, str]]:
        """Questions with their answers."""
        said = [message.value for message in self.conversations]
        return list(zip(said[::2], said[1::2], strict=True))

    def json(self) -> dict[str, Any]:
        """The record as the file holds it."""
        return {
            "id": self.id,
            "image": self.images[0] if len(self.images) == 1 else list(self.images),
            "conversations": [{"from": m.sender, "value": m.value} for m in self.conversations],
            "extra": {c.image: _concept_json(c) for c in self.extra},
            "type": self.type,
        }


def prompt_text(concepts: tuple[ConceptRecord, ...], question: str, *, picture: bool = True) -> str:
    """The first turn as serving writes it: the picture, a block for each concept, the question.

    Where the concepts are is left out: only what is there has a place, and a model that learns from it would not look.
    """
    blocks = [ConceptBlock(c.name, c.info, _PICTURE) for c in concepts]
    return as_text(rap_parts(_PICTURE if picture else None, blocks, question))


def read_records(
    path: Path, *, bad: Bad = "skip", problems: list[Problem] | None = None, images: Path | None = None
) -> Iterator[RapRecord]:
    """The records of a finished run's folder, or of a ``.json`` or ``.jsonl`` file, one at a time.

    Records that cannot be used are added to ``problems``, or raise BadData where ``bad`` is "refuse". With
    ``images`` each record's pictures have to be there, below that folder.
    """
    file = path / RECORDS if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(2, "No records here, or the run that makes them has not finished", str(file))
    for found in _located(file):
        outcome = found if isinstance(found, Problem) else parsed(found, file.name)
        if isinstance(outcome, RapRecord) and images is not None:
            outcome = _with_images(outcome, images, found, file.name)
        if isinstance(outcome, RapRecord):
            yield outcome
        elif bad == "refuse":
            raise refused([outcome])
        elif problems is not None:
            problems.append(outcome)


def parsed(found: Located, file: str) -> RapRecord | Problem:
    """The record, with the concepts of a published one put into its prompt; or what is wrong with it."""
    value = found.value

    def wrong(detail: str, *path: str | int) -> Problem:
        return Problem("wrong format", file, found.line_of(*path), found.place_of(*path), detail)

    if not isinstance(value, dict):
        return wrong("a record is an object")
    images = value.get("image", [])
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not all(isinstance(i, str) and i for i in images):
        return wrong("image is a path or a list of paths", "image")
    messages = _messages(value.get("conversations"))
    if messages is None:
        return wrong('conversations alternate {"from": "human", "value"} and {"from": "gpt", "value"}', "conversations")
    concepts = _concepts(found, file)
    if isinstance(concepts, Problem):
        return concepts
    record = RapRecord(
        id=str(value.get("id", found.where)),
        images=tuple(images),
        conversations=messages,
        extra=concepts,
        type=str(value.get("type", "")),
        source=f"{file}:{found.line}",
    )
    if concepts and isinstance(value.get("image", ""), str):
        record = _arranged(record)
    placeholders = record.conversations[0].value.count(PLACEHOLDER)
    if placeholders != len(record.images):
        return wrong(f"{placeholders} placeholders for {len(record.images)} pictures", "image")
    return record


def broken_promise(record: RapRecord) -> str:
    """What is wrong with a record of our own: an answer that speaks of a concept that is not there; else empty."""
    for concept in record.extra:
        if concept.noise and any(handle(concept.name) in answer for _, answer in record.exchanges):
            return f"an answer of {record.id} names {handle(concept.name)}, which is not in the picture"
    if len({c.name.casefold() for c in record.extra}) < len(record.extra):
        return f"two concepts of {record.id} have one name"
    return ""


def _located(file: Path) -> Iterator[Located | Problem]:
    if file.suffix == ".jsonl":
        yield from lines(file)
        return
    try:
        yield from items(file)
    except InvalidJson as error:
        yield error.problem


def _messages(value: Any) -> tuple[Message, ...] | None:
    if not isinstance(value, list) or not value or len(value) % 2:
        return None
    for place, message in enumerate(value):
        sender = "gpt" if place % 2 else "human"
        if not isinstance(message, dict) or message.get("from") != sender or not isinstance(message.get("value"), str):
            return None
    return tuple(Message(m["from"], m["value"]) for m in value)


def _concepts(found: Located, file: str) -> tuple[ConceptRecord, ...] | Problem:
    extra = found.value.get("extra") or {}
    if not isinstance(extra, dict):
        return Problem("wrong format", file, found.line_of("extra"), found.place_of("extra"), "extra is an object")
    concepts = []
    for path, content in extra.items():
        line, where = found.line_of("extra", path), f"{found.where}.extra[{json.dumps(path)}]"
        if not isinstance(content, dict):
            return Problem("wrong format", file, line, where, "a concept is an object")
        if not isinstance(content.get("name"), str) or not content["name"].strip("<> "):
            return Problem("no name", file, line, where, "a concept needs a name")
        concepts.append(_concept(path, content))
    return tuple(concepts)


def _concept(path: str, content: dict[str, Any]) -> ConceptRecord:
    box = content.get("box")
    return ConceptRecord(
        name=content["name"].strip("<> "),
        image=path,
        info=str(content.get("info", "")),
        category=str(content.get("category", "")),
        noise=content.get("noise") is True,
        box=(box[0], box[1], box[2], box[3]) if isinstance(box, list) and len(box) == 4 else None,
    )


def _arranged(record: RapRecord) -> RapRecord:
    """A published record with its concepts in the prompt and their avatars among its pictures."""
    first, *rest = record.conversations
    question = first.value.replace(f"{PLACEHOLDER}\n", "").replace(PLACEHOLDER, "")
    value = prompt_text(record.extra, question.strip("\n"), picture=bool(record.images))
    images = (*record.images, *(c.image for c in record.extra))
    return replace(record, images=images, conversations=(Message("human", value), *rest))


def _with_images(record: RapRecord, folder: Path, found: Located | Problem, file: str) -> RapRecord | Problem:
    for image in record.images:
        if not (folder / image).is_file():
            line, where = (found.line, found.where) if isinstance(found, Located) else (None, "")
            return Problem("missing image", file, line, where, f"{image} is not there")
    return record


def _concept_json(concept: ConceptRecord) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": concept.name,
        "image": concept.image,
        "info": concept.info,
        "category": concept.category,
        "noise": concept.noise,
    }
    return content if concept.box is None else {**content, "box": list(concept.box)}
