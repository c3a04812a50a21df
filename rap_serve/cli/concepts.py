"""``rap remember``, ``concepts``, ``forget`` and ``import``: what the service knows of a user's things."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.markup import escape
from rich.table import Table

from rap_serve.cli.client import CliError, NewAvatar, NewConcept, RapClient, service_of
from rap_serve.cli.console import err, fail, out, tracked
from rap_serve.cli.database import BOXES_FILE, Record, Roots, new_concept, read_boxes, read_database
from rap_serve.cli.home import DEFAULT_HOME, HomeOption
from rap_serve.cli.jobs import take_in, told_import
from rap_serve.cli.wire import ConceptJson
from rap_serve.domain.concept import checked_name, fold_name
from rap_serve.domain.errors import RapError

IN_FLIGHT = 4

UserOption = Annotated[str, typer.Option("--user", help="Whose things.")]
Done: TypeAlias = Literal["added", "updated", "unchanged"]


def remember(
    photo: Annotated[Path, typer.Argument(help="A picture of the thing.")],
    name: Annotated[str, typer.Option("--name", help="What to call it.")],
    info: Annotated[str, typer.Option(help="What to know about it; the service describes it where empty.")] = "",
    category: Annotated[str, typer.Option(help="What kind of thing it is.")] = "",
    box: Annotated[str | None, typer.Option(help="Where it is: x0,y0,x1,y1 in pixels.")] = None,
    user: UserOption = "default",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Shows the service a thing and its name."""
    avatar = NewAvatar(photo, None if box is None else parsed_box(box))
    with RapClient(service_of(home)) as client:
        stored = client.remember(user, NewConcept(name, (avatar,), category, info))
    about = f": {escape(stored['info'])}" if stored["info"] else "."
    out.print(f"Remembered [bold]{escape(stored['name'])}[/]{about}", highlight=False)
    for warning in stored["warnings"]:
        if warning.get("code") == "lookalike":
            note = (
                f"It looks like {warning['name']!r}, which is there already (similarity {warning['similarity']:.2f})."
            )
            err.print(f"[yellow]Note:[/] {escape(note)}", highlight=False)


def concepts(
    user: UserOption = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Only JSON on standard output.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Lists what the service knows."""
    with RapClient(service_of(home)) as client:
        found = client.concepts(user)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        out.print(concept_table(found) if found else f"{user} has shown the service nothing yet: `rap remember`.")


def forget(
    name: Annotated[str, typer.Argument(help="The concept's name.")],
    user: UserOption = "default",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes the service forget a thing."""
    with RapClient(service_of(home)) as client:
        concept = by_name(client.concepts(user)).get(fold_name(checked_name(name)))
        if concept is None:
            raise CliError(f"{user} has no concept {name!r}: `rap concepts` lists them.")
        client.forget(user, concept["id"])
    out.print(f"Forgot [bold]{escape(concept['name'])}[/].", highlight=False)


def import_database(
    database: Annotated[Path, typer.Argument(help="A database in RAP's format, or an archive: see `rap export`.")],
    root: Annotated[Path | None, typer.Option(help="The folder that picture paths are relative to.")] = None,
    boxes: Annotated[Path | None, typer.Option(help=f"Boxes per picture; {BOXES_FILE} beside the database.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Replace concepts that are there already.")] = False,
    user: UserOption = "default",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Remembers all concepts of a database or an archive; what is there already stays as it is."""
    if database.suffix == ".zip":
        with RapClient(service_of(home)) as client:
            told_import(take_in(client, user, database))
        return
    if boxes is None and (database.parent / BOXES_FILE).is_file():
        err.print(f"Using the boxes in {database.parent / BOXES_FILE}.", highlight=False, soft_wrap=True)
    with RapClient(service_of(home)) as client:
        done, failed = import_records(client, user, database, root=root, boxes=boxes, update=update)
    counts = {kind: sum(d == kind for d in done.values()) for kind in ("added", "updated", "unchanged")}
    out.print(", ".join(f"{n} {kind}" for kind, n in counts.items()) + f", {len(failed)} failed.", highlight=False)
    for name, reason in sorted(failed.items()):
        fail(f"{name}: {reason}")
    if failed:
        raise typer.Exit(1)


def import_records(
    client: RapClient,
    user: str,
    database: Path,
    *,
    root: Path | None = None,
    boxes: Path | None = None,
    update: bool = False,
) -> tuple[dict[str, Done], dict[str, str]]:
    """What was done per name, and per name that failed the reason. A few records are in flight at once."""
    records = read_database(database)
    boxes_by_image, roots = read_boxes(database, boxes), Roots.of(database, root)
    present = {folded: c["id"] for folded, c in by_name(client.concepts(user)).items()}

    def store(record: Record) -> Done:
        concept_id = present.get(fold_name(record.name))
        if concept_id is not None and not update:
            return "unchanged"
        concept = new_concept(record, roots, boxes_by_image)
        if concept_id is None:
            client.remember(user, concept)
            return "added"
        client.replace(user, concept_id, concept)
        return "updated"

    done: dict[str, Done] = {}
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        names = {pool.submit(store, record): record.name for record in records}
        for future in tracked(as_completed(names), "Importing", len(names)):
            try:
                done[names[future]] = future.result()
            except (CliError, RapError, OSError) as error:
                failed[names[future]] = str(error)
    return done, failed


def by_name(concepts: Sequence[ConceptJson]) -> Mapping[str, ConceptJson]:
    """The concepts by the form in which names are compared."""
    return {fold_name(c["name"]): c for c in concepts}


def parsed_box(text: str) -> tuple[float, float, float, float]:
    """``x0,y0,x1,y1`` as numbers; raises CliError where it is something else."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise CliError(f"A box reads x0,y0,x1,y1 in pixels, such as 10,20,200,180; not {text!r}.") from error
    return x0, y0, x1, y1


def concept_table(concepts: Sequence[ConceptJson]) -> Table:
    """The concepts, a row each."""
    table = Table("name", "category", "info", "pictures", "version", header_style="bold")
    for row in _rows(concepts):
        table.add_row(*row)
    return table


def _rows(concepts: Sequence[ConceptJson]) -> Iterator[tuple[str, ...]]:
    for c in concepts:
        yield escape(c["name"]), escape(c["category"]), escape(c["info"]), str(len(c["avatars"])), str(c["version"])
