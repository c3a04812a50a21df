"""``rap eval photographs``: retrieval on anyone's labelled photographs, against concepts that a user keeps."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rap_serve.cli.client import CliError, RapClient, service_of
from rap_serve.cli.concepts import UserOption, by_name, import_records
from rap_serve.cli.console import out, tracked
from rap_serve.cli.database import Roots, read_database, read_json
from rap_serve.cli.home import DEFAULT_HOME, HomeOption
from rap_serve.cli.report import latency_table, rate_table
from rap_serve.cli.scoring import TOP, Outcome, Target, latency, outcome, rates
from rap_serve.domain.concept import fold_name

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the report here.")]
GIVEN, DETECTED = "given boxes", "detector"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and what it shows."""

    picture: Path
    targets: tuple[Target, ...]


def retrieval(
    database: Annotated[Path, typer.Option(help="The concepts, in RAP's format.")],
    queries: Annotated[Path | None, typer.Option(help="Labelled pictures; queries.json beside it.")] = None,
    scenes: Annotated[Path | None, typer.Option(help="Pictures of several concepts; scenes.json.")] = None,
    negatives: Annotated[Path | None, typer.Option(help="Pictures of none; negatives.json.")] = None,
    boxes: Annotated[Path | None, typer.Option(help="Avatar boxes, for --import.")] = None,
    import_first: Annotated[bool, typer.Option("--import", help="Remember the database before.")] = False,
    json_file: JsonFile = None,
    user: UserOption = "default",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Measures retrieval on labelled pictures, with given boxes and with the detector's."""
    files = {"queries": queries, "scenes": scenes, "negatives": negatives}
    sets = {name: labelled(file) for name, given in files.items() if (file := _beside(database, name, given))}
    if not sets:
        raise CliError(f"There is nothing to ask about: no queries.json beside {database}, and no --queries.")
    with RapClient(service_of(home)) as client:
        if import_first:
            _import(client, user, database, boxes)
        library = _checked_library(client, user, database)
        measured = {(name, mode): measure(client, user, pictures, name, mode) for name, mode, pictures in _runs(sets)}
    out.print(rate_table(measured, title=f"{library} concepts of {user}"))
    out.print(latency_table(measured))
    if json_file is not None:
        write_report(json_file, {"user": user, "library": library, **report(measured)})


def labelled(file: Path) -> list[Labelled]:
    """The pictures of a file ``[{image, objects: [{name, box_xyxy}]}]``."""
    roots = Roots.of(file)
    return [
        Labelled(
            roots.find(entry["image"]),
            tuple(Target(o["name"], [float(v) for v in o["box_xyxy"]]) for o in entry.get("objects", ())),
        )
        for entry in read_json(file)
    ]


def measure(client: RapClient, user: str, pictures: Sequence[Labelled], name: str, mode: str) -> list[Outcome]:
    """What came of each picture, asked one after the other."""
    progress = tracked(pictures, f"{name}, {mode}", len(pictures))
    return [asked(client, user, picture, boxes_given=mode == GIVEN) for picture in progress]


def asked(client: RapClient, user: str, picture: Labelled, *, boxes_given: bool) -> Outcome:
    """What came of one picture."""
    boxes = [t.box_xyxy for t in picture.targets] if boxes_given else None
    began = time.perf_counter()
    found = client.retrieve(user, picture.picture, boxes_xyxy=boxes, top_k=max(TOP))
    spent = (time.perf_counter() - began) * 1_000
    return outcome(picture.targets, found, boxes_given=boxes_given, client_ms=spent)


def report(measured: dict[tuple[str, str], list[Outcome]]) -> dict[str, Any]:
    """Rates and latencies of each set and mode, for a file."""
    found: dict[str, Any] = {}
    for (name, mode), outcomes in measured.items():
        found.setdefault(name, {})[mode.replace(" ", "_")] = {
            "pictures": len(outcomes),
            "rates": {key: r.json() for key, r in rates(outcomes).items()},
            "latency_ms": latency(outcomes),
            "cache_hits": sum(o.cache == "hit" for o in outcomes),
        }
    return found


def write_report(file: Path, content: dict[str, Any]) -> None:
    """Writes the report and says where."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n")
    out.print(f"Report  {file}", highlight=False, soft_wrap=True)


def _runs(sets: dict[str, list[Labelled]]) -> list[tuple[str, str, list[Labelled]]]:
    """Set, mode and pictures; boxes are given only where every picture has some."""
    runs = [(name, GIVEN, pictures) for name, pictures in sets.items() if all(p.targets for p in pictures)]
    return [*runs, *((name, DETECTED, pictures) for name, pictures in sets.items())]


def _beside(database: Path, name: str, given: Path | None) -> Path | None:
    file = given or database.parent / f"{name}.json"
    return file if given or file.is_file() else None


def _import(client: RapClient, user: str, database: Path, boxes: Path | None) -> None:
    _, failed = import_records(client, user, database, boxes=boxes)
    if failed:
        raise CliError("Not imported: " + "; ".join(f"{name}: {reason}" for name, reason in failed.items()))


def _checked_library(client: RapClient, user: str, database: Path) -> int:
    """How many concepts the user has; raises CliError where the database's are missing."""
    present = by_name(client.concepts(user))
    missing = [r.name for r in read_database(database) if fold_name(r.name) not in present]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise CliError(
            f"{user} has not been shown {len(missing)} of the database's concepts ({shown}): add --import, or "
            f"`rap import {database} --user {user}`."
        )
    return len(present)
