"""``rap export`` and ``rap erase``, and following the service's long work with a progress bar."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rap_serve.cli.client import CliError, RapClient, service_of, user_path
from rap_serve.cli.console import err, fail, out
from rap_serve.cli.home import DEFAULT_HOME, HomeOption

POLL_SECONDS = 0.3
ENDED = ("done", "failed", "cancelled")

UserOption = Annotated[str, typer.Option("--user", help="Whose things.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Only JSON on standard output.")]


def export(
    file: Annotated[Path, typer.Argument(help="The archive to write, such as ann.zip.")],
    user: UserOption = "default",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Writes all of a user's concepts, with their pictures, into one archive."""
    with RapClient(service_of(home)) as client:
        job = followed(client, client.call("POST", f"{user_path(user)}/concepts:export"), "Exporting")
        file.write_bytes(client.archive(job["id"]))
    _told(job, as_json, f"Wrote {job['result']['concepts']} concepts to {file}.")


def erase(
    user: Annotated[str, typer.Option("--user", help="Who is to be forgotten.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Forgets a user for good: concepts, pictures, history, copies. Nothing brings them back."""
    if not yes and not typer.confirm(f"Forget everything of {user!r} for good?", err=True):
        raise typer.Exit(1)
    with RapClient(service_of(home)) as client:
        job = followed(client, client.call("DELETE", user_path(user)), "Erasing")
    _told(job, as_json, receipt(job["result"]["receipt"]))


def take_in(client: RapClient, user: str, archive: Path) -> dict[str, Any]:
    """The import of an archive, followed to its end. Raises CliError."""
    if not archive.is_file():
        raise CliError(f"There is no file {str(archive)!r}.")
    return followed(client, client.send_archive(user, archive.read_bytes()), "Importing")


def told_import(job: dict[str, Any]) -> None:
    """What came of an import; exit status 1 where a line failed."""
    result = job["result"]
    counts = ", ".join(f"{result[kind]} {kind}" for kind in ("added", "unchanged", "failed"))
    out.print(f"{counts}.", highlight=False)
    for problem in result["problems"]:
        fail(f"line {problem['line']}, {problem['name'] or 'no name'}: {problem['message']}")
    if result["failed"]:
        raise typer.Exit(1)


def followed(
    client: RapClient,
    job: dict[str, Any],
    what: str,
    path: str = "/v1/jobs",
    *,
    until: Callable[[dict[str, Any]], bool] = lambda job: False,
) -> dict[str, Any]:
    """The job at its end, with a progress bar until then; raises CliError where it failed.

    ``until``: what is enough already while it goes on.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=job["total"])
        while job["state"] not in ENDED and not until(job):
            time.sleep(POLL_SECONDS)
            job = client.call("GET", f"{path}/{job['id']}")
            bar.update(task, completed=job["done"], total=job["total"])
    if job["state"] != "done" and not until(job):
        raise CliError(f"{what} ended as {job['state']}: {job['result'].get('error', {}).get('message', job['id'])}")
    return job


def receipt(stores: dict[str, Any]) -> str:
    """What was found and removed, a line a store."""
    lines = []
    for store, found in stores.items():
        counts = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in found.items())
        lines.append(f"{store.replace('_', ' ')}: {counts}")
    return "\n".join(lines)


def _told(job: dict[str, Any], as_json: bool, sentence: str) -> None:
    if as_json:
        typer.echo(json.dumps(job, ensure_ascii=False, indent=1))
    else:
        out.print(escape(sentence), highlight=False, soft_wrap=True)
