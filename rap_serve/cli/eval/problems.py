"""Bad data: said with file and line, then skipped or refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from PIL import Image, UnidentifiedImageError

from rap_serve.cli.client import Box, CliError
from rap_serve.cli.database import read_json
from rap_serve.cli.json_place import Place, position_of
from rap_serve.domain.errors import RapError
from rap_serve.domain.region import checked_box

Policy: TypeAlias = Literal["skip", "refuse"]


class Problems:
    """What is wrong with a file's records. ``skip`` gathers it in ``found``; ``refuse`` raises CliError at once."""

    def __init__(self, policy: Policy = "skip") -> None:
        self.policy = policy
        self.found: list[str] = []

    def note(self, file: Path, place: Place, message: str) -> None:
        """Says what is wrong with the record at ``place``, keys and indices from the top of the JSON file."""
        where = f"{file}:{line_of(file.read_text(), place)}" if file.suffix == ".json" else str(file)
        if self.policy == "refuse":
            raise CliError(f"{where}: {message} (--bad skip leaves such records out)")
        self.found.append(f"{where}: {message}")

    @contextmanager
    def record(self, file: Path, place: Place) -> Iterator[None]:
        """Whatever is wrong with the record that is read inside is noted, and the record left out."""
        try:
            yield
        except KeyError as error:
            reason: str | None = f"there is no {error}"
        except (CliError, RapError, TypeError, ValueError, AttributeError) as error:
            reason = str(error)
        else:
            reason = None
        if reason is not None:
            self.note(file, place, reason)


def line_of(text: str, place: Place) -> int:
    """The line, from 1, on which the value at ``place`` of a JSON text begins; its parent's where it is absent."""
    return text.count("\n", 0, position_of(text, place)) + 1


def readable_size(image: Path) -> tuple[int, int]:
    """Width and height of a picture file in pixels; raises CliError where it is none."""
    try:
        with Image.open(image) as opened:
            return opened.size
    except (UnidentifiedImageError, OSError) as error:
        raise CliError(f"{str(image)!r} cannot be read as a picture") from error


def box_in(image: Path, box: object) -> Box | None:
    """The box, clipped to the picture; None stays None. Raises InvalidInput or CliError where it is no box."""
    width, height = readable_size(image)
    if box is None:
        return None
    if not isinstance(box, list) or not all(isinstance(v, int | float) for v in box):
        raise CliError(f"a box is four numbers, not {box!r}")
    return checked_box([float(v) for v in box], width, height)


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; raises CliError where there is none."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise CliError(f"{file} holds no JSON object.")
    return content
