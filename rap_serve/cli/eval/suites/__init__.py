"""One suite per file: ``run(bench, pack, size)`` asks the service and says what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from rap_serve.cli.eval.pack import PackLibrary, PackPicture


@dataclass(frozen=True, slots=True)
class Size:
    """How much a suite asks. ``n``: pictures, concepts or pairs, as the suite says; ``steps``: sizes of the library."""

    n: int
    library: int = 20
    steps: tuple[int, ...] = ()


def library_sizes(size: Size, library: PackLibrary) -> list[int]:
    """The sizes that a growing library reaches, its own the last."""
    count = len(library.concepts)
    return [*(step for step in size.steps if step < count), count]


def groups_by_seen(seen: Iterable[bool | None]) -> dict[str, bool]:
    """The groups of categories that occur, with whether the models were trained on them."""
    occurring = set(seen)
    return {
        name: value for name, value in (("seen categories", True), ("held-out categories", False)) if value in occurring
    }


def concept_count(picture: PackPicture) -> str:
    """The group of a picture by how many of the user's concepts it shows."""
    count = len(picture.names)
    return f"{count} concept" if count == 1 else f"{count} concepts"
