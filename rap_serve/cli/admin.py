"""``rap admin``: tenants, keys, limits, usage and who did what, for who runs the service."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from rap_serve.cli.client import CliError, RapClient, operators_service
from rap_serve.cli.console import friendly, out
from rap_serve.cli.home import DEFAULT_HOME, HomeOption
from rap_serve.cli.jobs import JsonOption, followed, receipt

app = typer.Typer(help="Run the service for others: tenants, keys, limits, usage, audit.", no_args_is_help=True)

TENANTS = "/admin/v1/tenants"
EMBEDDERS = "/admin/v1/embedders"
PAGE = 100
UNLIMITED = "none"
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

TenantArgument = Annotated[str, typer.Argument(help="The tenant's id.")]
KeyArgument = Annotated[str, typer.Argument(help="The key's id: `rap admin keys TENANT` lists them.")]
Limit = Annotated[str | None, typer.Option(help="A number, or none.")]


@friendly
def tenants(as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """Lists all tenants."""
    with _client(home) as client:
        found = list(_pages(client, TENANTS))
    columns = ("id", "state", "concepts", "avatars", "bytes", "requests_per_minute", "tokens_per_minute", "weight")
    _show(found, as_json, columns, [{**t, **t["limits"]} for t in found])


@friendly
def create(
    tenant: TenantArgument,
    concepts: Limit = None,
    avatars: Limit = None,
    picture_bytes: Limit = None,
    requests_per_minute: Limit = None,
    tokens_per_minute: Limit = None,
    weight: Limit = None,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes a tenant; `rap admin issue` then gives it a key."""
    limits = _limits(concepts, avatars, picture_bytes, requests_per_minute, tokens_per_minute, weight)
    with _client(home) as client:
        made = client.call("POST", TENANTS, {"id": tenant, "limits": limits})
    _say(made, as_json, f"Made the tenant {tenant}. Next: rap admin issue {tenant}")


@friendly
def limit(
    tenant: TenantArgument,
    concepts: Limit = None,
    avatars: Limit = None,
    picture_bytes: Limit = None,
    requests_per_minute: Limit = None,
    tokens_per_minute: Limit = None,
    weight: Limit = None,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Changes the limits that are named, and leaves the others."""
    named = _limits(concepts, avatars, picture_bytes, requests_per_minute, tokens_per_minute, weight)
    with _client(home) as client:
        before = client.call("GET", _tenant(tenant))["limits"]
        changed = client.call("PATCH", _tenant(tenant), {"limits": {**before, **named}})
    _say(changed, as_json, f"{tenant}: {_written(changed['limits'])}")


@friendly
def suspend(tenant: TenantArgument, as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """Shuts a tenant out, with all its keys; nothing of it is lost."""
    with _client(home) as client:
        changed = client.call("PATCH", _tenant(tenant), {"state": "suspended"})
    _say(changed, as_json, f"{tenant} is suspended: rap admin resume {tenant} lets it in again.")


@friendly
def resume(tenant: TenantArgument, as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """Lets a suspended tenant in again."""
    with _client(home) as client:
        changed = client.call("PATCH", _tenant(tenant), {"state": "active"})
    _say(changed, as_json, f"{tenant} is active.")


@friendly
def erase(
    tenant: TenantArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Forgets a tenant for good, with all its users and keys. Nothing brings it back."""
    if not yes and not typer.confirm(f"Forget everything of the tenant {tenant!r} for good?", err=True):
        raise typer.Exit(1)
    with _client(home) as client:
        job = followed(client, client.call("DELETE", _tenant(tenant)), "Erasing", f"{_tenant(tenant)}/jobs")
    _say(job, as_json, receipt(job["result"]["receipt"]))


@friendly
def move(
    tenant: TenantArgument,
    shelf: Annotated[str, typer.Argument(help="Small letters and digits; a new name is a shelf of its own.")],
    grace: Annotated[str, typer.Option(help="How long copies stay where the tenant was, for example 1h.")] = "1m",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Moves a tenant to another shelf of the memory, while it is read and written."""
    with _client(home) as client:
        body = {"shelf": shelf, "grace_seconds": parsed_seconds(grace)}
        started = client.call("POST", f"{_tenant(tenant)}:move", body)
        job = followed(client, started, "Moving", f"{_tenant(tenant)}/jobs", until=_switched)
    moved = job["result"]
    _say(job, as_json, f"{moved['owners']} users with {moved['concepts']} concepts are on {shelf!r} now.")


@friendly
def accept_loss(
    tenant: TenantArgument,
    user: Annotated[str, typer.Argument(help="One whom 503 `memory_incomplete` keeps out for good.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Lets go what the memory lost of a user's concepts; what is left is served again. Restore a backup first."""
    question = f"Let go what is missing of {user!r}? No restore brings it back after that."
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)
    with _client(home) as client:
        loss = client.call("POST", f"{_tenant(tenant)}/users/{quote(user, safe='')}:accept-loss")
    missing = max(0, loss["counted"] - loss["found"])
    _say(loss, as_json, f"{user} has {loss['found']} concepts; {missing} of {loss['counted']} are let go.")


@friendly
def embedders(as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """Lists the embedders that run, and which one answers."""
    with _client(home) as client:
        found = client.call("GET", EMBEDDERS)["data"]
    _show(found, as_json, ("id", "dim", "answers"), found)


@friendly
def reembed(
    embedder: Annotated[str, typer.Option(help="Its version: `rap admin embedders` lists them.")],
    grace: Annotated[str, typer.Option(help="How long the way back stays open, for example 1h.")] = "1d",
    pause: Annotated[str, typer.Option(help="Between two batches, to leave room for others.")] = "0s",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Embeds everything anew; then that embedder answers. Returns when it does; the grace period goes on."""
    body = {"version": embedder, "grace_seconds": parsed_seconds(grace), "pause_seconds": parsed_seconds(pause)}
    with _client(home) as client:
        job = followed(client, client.call("POST", EMBEDDERS, body), "Embedding", "/admin/v1/jobs", until=_switched)
    seen = job["result"]
    _say(
        job,
        as_json,
        f"{embedder} answers now: {seen['concepts']} concepts of {seen['owners']} users, {seen['embedded']} pictures "
        f"embedded anew, {seen['unreadable']} concepts without their pictures. Back again within {grace}: the same "
        "command with the other embedder.",
    )


def _switched(job: dict[str, Any]) -> bool:
    return bool(job["result"].get("switched"))


@friendly
def keys(tenant: TenantArgument, as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """Lists a tenant's keys; the keys themselves are known to nobody but their holders."""
    with _client(home) as client:
        found = client.call("GET", f"{_tenant(tenant)}/keys")["data"]
    rows = [{**key, "scopes": " ".join(key["scopes"])} for key in found]
    _show(found, as_json, ("id", "label", "shown", "scopes", "expires_at", "revoked_at"), rows)


@friendly
def issue(
    tenant: TenantArgument,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    scopes: Annotated[str, typer.Option(help="Out of read, write and admin, by commas.")] = "read,write",
    expires_in: Annotated[str | None, typer.Option(help="For example 90d, 12h; never where not given.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes a key and shows it, once."""
    body: dict[str, Any] = {"label": label, "scopes": scopes.split(",")}
    if expires_in is not None:
        body["expires_in_seconds"] = parsed_seconds(expires_in)
    with _client(home) as client:
        made = client.call("POST", f"{_tenant(tenant)}/keys", body)
    _say(made, as_json, f"{made['secret']}\nThis is {made['id']}; it is not shown again.")


@friendly
def rotate(
    tenant: TenantArgument,
    key: KeyArgument,
    overlap: Annotated[str, typer.Option(help="How long the old key stays valid, for example 1h.")] = "1d",
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes a key in place of another, which stays valid for a while."""
    with _client(home) as client:
        path = f"{_tenant(tenant)}/keys/{quote(key, safe='')}:rotate"
        made = client.call("POST", path, {"overlap_seconds": parsed_seconds(overlap)})
    _say(made, as_json, f"{made['secret']}\nThis is {made['id']}; {key} opens the service for another {overlap}.")


@friendly
def revoke(
    tenant: TenantArgument, key: KeyArgument, as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME
) -> None:
    """Ends a key at once."""
    with _client(home) as client:
        ended = client.call("DELETE", f"{_tenant(tenant)}/keys/{quote(key, safe='')}")
    _say(ended, as_json, f"{key} opens nothing any more.")


@friendly
def usage(tenant: TenantArgument, as_json: JsonOption = False, home: HomeOption = DEFAULT_HOME) -> None:
    """What a tenant used in the last 30 days, per day, user and kind of request."""
    with _client(home) as client:
        found = client.call("GET", f"{_tenant(tenant)}/usage")
    columns = ("day", "user", "kind", "requests", "prompt_tokens", "completion_tokens")
    _show(found, as_json, columns, found["data"])
    if not as_json:
        out.print(f"Holds {_written(found['held'])}; may {_written(found['limits'])}.", highlight=False)


@friendly
def audit(
    tenant: Annotated[str | None, typer.Option(help="Only what concerns this tenant.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Who did what, oldest first."""
    with _client(home) as client:
        query = {"tenant": tenant} if tenant else {}
        found = list(_pages(client, "/admin/v1/audit", query))
    rows = [{**a, "detail": json.dumps(a["detail"]) if a["detail"] else ""} for a in found]
    _show(found, as_json, ("at", "tenant", "actor", "action", "target", "detail"), rows)


def parsed_seconds(text: str) -> float:
    """The seconds in ``90s``, ``15m``, ``12h`` or ``30d``; raises CliError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise CliError(f"{text!r} is no duration: write for example 90s, 15m, 12h or 30d.")
    return float(found[1]) * _UNITS[found[2]]


def _limits(
    concepts: str | None,
    avatars: str | None,
    picture_bytes: str | None,
    requests: str | None,
    tokens: str | None,
    weight: str | None,
) -> dict[str, int | None]:
    named = {
        "concepts": concepts,
        "avatars": avatars,
        "bytes": picture_bytes,
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "weight": weight,
    }
    return {name: _number(name, text) for name, text in named.items() if text is not None}


def _number(name: str, text: str) -> int | None:
    if text == UNLIMITED:
        return None
    if not text.isdigit():
        raise CliError(f"{name} is a number or {UNLIMITED!r}, not {text!r}.")
    return int(text)


def _client(home: Path) -> RapClient:
    return RapClient(operators_service(home))


def _tenant(tenant: str) -> str:
    return f"{TENANTS}/{quote(tenant, safe='')}"


def _pages(client: RapClient, path: str, query: dict[str, str] | None = None) -> Iterable[dict[str, Any]]:
    after = ""
    while True:
        parameters = {**(query or {}), "limit": str(PAGE), "after": after}
        page = client.call("GET", path + "?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in parameters.items()))
        yield from page["data"]
        if not page["has_more"]:
            return
        after = page["last_id"]


def _show(found: object, as_json: bool, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    table = Table(*(column.replace("_", " ") for column in columns))
    for row in rows:
        table.add_row(*("-" if row.get(c) is None else escape(str(row[c])) for c in columns))
    out.print(table)


def _say(answer: object, as_json: bool, sentence: str) -> None:
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=1))
    else:
        out.print(escape(sentence), highlight=False, soft_wrap=True)


def _written(amounts: dict[str, int | None]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {UNLIMITED if n is None else n}" for name, n in amounts.items())


app.command("move-tenant")(move)
app.command("accept-loss")(accept_loss)
app.command("re-embed")(reembed)
for command in (embedders, tenants, create, limit, suspend, resume, erase, keys, issue, rotate, revoke, usage, audit):
    app.command(command.__name__)(command)
