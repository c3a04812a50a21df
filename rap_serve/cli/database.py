"""RAP's own database of concepts, read from a file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rap_serve.cli.client import Box, CliError, NewAvatar, NewConcept
from rap_serve.domain.concept import checked_name

BOXES_FILE = "avatar_boxes.json"


@dataclass(frozen=True, slots=True)
class Record:
    """One concept of a database, with its pictures as the database writes them."""

    name: str
    images: tuple[str, ...]
    info: str
    category: str


@dataclass(frozen=True, slots=True)
class Roots:
    """The folders that the paths in a file may be relative to, likeliest first."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, file: Path, root: Path | None = None) -> "Roots":
        """``root`` alone where it is given; otherwise the file's folder, its parent, and here."""
        folder = file.resolve().parent
        return cls((root,)) if root is not None else cls((folder, folder.parent, Path.cwd()))

    def find(self, path: str) -> Path:
        """The file of that path; raises CliError where no folder has it."""
        for folder in self.folders:
            if (folder / path).is_file():
                return folder / path
        tried = ", ".join(str(f) for f in self.folders)
        raise CliError(f"There is no picture {path!r} under {tried} (--root says where).")


def read_database(path: Path) -> list[Record]:
    """The concepts of ``concept_dict["<name>"] = {name, image, info, category}``, in the file's order."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("concept_dict"), dict):
        raise CliError(f"{path} is not a database of RAP's: it has no concept_dict.")
    return [_record(path, key, value) for key, value in content["concept_dict"].items()]


def read_boxes(database: Path, boxes: Path | None = None) -> dict[str, Box]:
    """Boxes per picture, as the database writes its path; from the file beside it where none is named."""
    path = boxes or database.parent / BOXES_FILE
    if boxes is None and not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise CliError(f"{path} is not a map from picture to box.")
    return {str(Path(image)): [float(v) for v in box] for image, box in content.items()}


def new_concept(record: Record, roots: Roots, boxes: dict[str, Box]) -> NewConcept:
    """The record, ready to be sent; raises CliError where a picture is missing."""
    avatars = tuple(NewAvatar(roots.find(i), boxes.get(str(Path(i)))) for i in record.images)
    return NewConcept(record.name, avatars, record.category, record.info)


def read_json(path: Path) -> Any:
    """What the file holds; raises CliError where it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CliError(f"There is no file {str(path)!r}.") from error
    except (OSError, ValueError) as error:
        raise CliError(f"{path} cannot be read as JSON: {error}") from error


def _record(path: Path, key: str, value: Any) -> Record:
    if not isinstance(value, dict) or not value.get("image"):
        raise CliError(f"{path}: {key!r} has no image.")
    name = checked_name(str(value.get("name") or key))
    return Record(name, tuple(_images(value["image"])), str(value.get("info") or ""), str(value.get("category") or ""))


def _images(image: str | Sequence[str]) -> Iterator[str]:
    yield from [image] if isinstance(image, str) else image
