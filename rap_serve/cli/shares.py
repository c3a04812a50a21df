"""``rap shares``: what users let each other know."""

import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from rap_serve.cli.client import CliError, RapClient, service_of, user_path
from rap_serve.cli.concepts import UserOption, by_name
from rap_serve.cli.console import friendly, out
from rap_serve.cli.home import DEFAULT_HOME, HomeOption
from rap_serve.cli.jobs import JsonOption
from rap_serve.domain.concept import checked_name, fold_name

app = typer.Typer(help="Let another user know your things, with consent on both sides.", no_args_is_help=True)

ShareArgument = Annotated[str, typer.Argument(metavar="ID", help="The share's id: `rap shares list` names it.")]


@friendly
def offer(
    taker: Annotated[str, typer.Option("--with", help="Who is to know them.")],
    concepts: Annotated[
        list[str] | None, typer.Argument(metavar="[CONCEPT]...", help="Their names; all, future ones too.")
    ] = None,
    user: UserOption = "default",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Offers concepts to another user, who has to accept."""
    with RapClient(service_of(home)) as client:
        ids = {"concepts": _ids(client, user, concepts)} if concepts else {}
        made = client.call("POST", _shares(user), {"with": taker, **ids})
    _say(made, as_json, f"Offered to {taker} as {made['id']}: rap shares accept {made['id']} --user {taker}")


@friendly
def listed(user: UserOption = "default", as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """Lists what a user gives and takes, offers included."""
    with RapClient(service_of(home)) as client:
        found = client.listed(_shares(user))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        out.print(share_table(found) if found else f"{user} shares nothing yet: `rap shares offer`.")


@friendly
def accept(
    share: ShareArgument,
    user: UserOption = "default",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Accepts what another user offers."""
    with RapClient(service_of(home)) as client:
        accepted = client.call("POST", f"{_shares(user, share)}:accept")
    _say(accepted, as_json, f"{user} knows what {accepted['from']} shares: rap shares end {share} takes it back.")


@friendly
def end(
    share: ShareArgument,
    user: UserOption = "default",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Ends a share or an offer, one's own or another's."""
    with RapClient(service_of(home)) as client:
        ended = client.call("DELETE", _shares(user, share))
    _say(ended, as_json, f"{share} has ended.")


def share_table(shares: Sequence[dict[str, Any]]) -> Table:
    """The shares, a row each."""
    table = Table("id", "from", "with", "state", "concepts", header_style="bold")
    for share in shares:
        names = ", ".join(concept["name"] for concept in share["covers"]) or "-"
        covers = f"all: {names}" if share["concepts"] is None else names
        table.add_row(*(escape(text) for text in (share["id"], share["from"], share["with"], share["state"], covers)))
    return table


def _ids(client: RapClient, user: str, names: Sequence[str]) -> list[str]:
    """The ids of the user's concepts of these names; raises CliError for one that is not there."""
    known = by_name(client.concepts(user))
    for name in names:
        if fold_name(checked_name(name)) not in known:
            raise CliError(f"{user} has no concept {name!r}: `rap concepts` lists them.")
    return [known[fold_name(checked_name(name))]["id"] for name in names]


def _shares(user: str, share_id: str | None = None) -> str:
    path = f"{user_path(user)}/shares"
    return path if share_id is None else f"{path}/{quote(share_id, safe='')}"


def _say(answer: object, as_json: bool, sentence: str) -> None:
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=1))
    else:
        out.print(escape(sentence), highlight=False, soft_wrap=True)


app.command("list")(listed)
for command in (offer, accept, end):
    app.command(command.__name__)(command)
