"""Random writes and reads by several clients over all gateways, recorded and checked; with outages if asked for.

    python -m loadtest.consistency --home .rap --operations 10000 --owners 50 --clients 8

Each client has connections of its own. Writes carry an idempotency key and are sent again, with the same key, until
there is an answer; half of the edits say which version they replace. ``--outages gateway|milvus|redis`` kills one
of these parts again and again; Redis (of ``--redis-port``) is also emptied, paused and restarted.
``--outages move|re-embed`` has an operator move the tenant, or change the embedder, to and fro instead, and some of
what is asked for are pictures. In the end all that was ever written is read once more, and memory, pictures and
catalogue are held against each other.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from loadtest import drawn
from loadtest.changes import CHANGES, TENANT, change_of
from loadtest.gateways import METRICS_SECONDS, requests_by_gateway
from loadtest.history import GONE, Event, Kind, violations
from loadtest.outages import LocalRedis, Outage, kill_of, outages
from loadtest.processes import milvus_uri
from loadtest.wholeness import Stores
from rap_serve.adapters.catalogue.database import Database
from rap_serve.domain.concept import Owner

CONCEPTS_AT_FIRST = 3
PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.2
RECOVERED_WRITES = 10
SHARES = {"read": 0.35, "list": 0.15, "find": 0.1, "edit": 0.3, "add": 0.06, "delete": 0.04}
LOOKS = 0.05
THE_SAME = 0.99
THINGS = 40


@dataclass
class World:
    """What there is to read and write, and what has been done. ``everything``: deleted concepts too."""

    owners: list[str]
    concepts: dict[str, list[str]] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)
    everything: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    made: int = 0


class Client:
    """One client: does one thing after another and notes what it saw."""

    def __init__(self, number: int, service: dict[str, str], world: World, seed: int, *, looks: float) -> None:
        """``looks``: the share of pictures among what it does."""
        headers = {"Authorization": f"Bearer {service['api_key']}"}
        self._http = httpx.AsyncClient(base_url=service["url"], headers=headers, timeout=60, trust_env=False)
        self._number = number
        self._world = world
        self._rng = random.Random(seed * 1_000 + number)
        self._shares = {**SHARES, "look": looks}

    async def act(self) -> None:
        """One thing at random."""
        kind = self._rng.choices(list(self._shares), list(self._shares.values()))[0]
        owner = self._rng.choice(self._world.owners)
        ids = self._world.concepts[owner]
        if kind == "add" or not ids:
            await self.add(owner)
        elif kind == "list":
            await self._list(owner)
        else:
            concept = self._rng.choice(ids)
            acts = {
                "read": self._read,
                "find": self._find,
                "edit": self._edit,
                "delete": self._delete,
                "look": self._look,
            }
            await acts[kind](owner, concept)

    async def add(self, owner: str) -> None:
        """A new concept."""
        self._world.made += 1
        value = f"value {self._world.made}"
        shown = drawn.thing(self._world.made % THINGS)
        body = {**drawn.concept(f"thing-{self._world.made}", shown, 1), "info": value}
        began = time.monotonic()
        answer = await self._written("POST", _concepts(owner), body)
        if answer.status_code == 201:
            concept = answer.json()
            self._world.names[concept["id"]] = concept["name"]
            self._world.pictures[concept["id"]] = body["avatars"][0]
            self._world.concepts[owner].append(concept["id"])
            self._world.everything.setdefault(owner, []).append(concept["id"])
            self._note(concept["id"], "write", began, concept["version"], value)

    async def read_all(self, part: int, parts: int) -> None:
        """Every concept that there ever was, shared out among ``parts`` clients."""
        owner_of = {concept: owner for owner, concepts in self._world.everything.items() for concept in concepts}
        for concept in sorted(owner_of)[part::parts]:
            await self._read(owner_of[concept], concept)

    async def _edit(self, owner: str, concept: str) -> None:
        self._world.made += 1
        value, headers = f"value {self._world.made}", {}
        if self._rng.random() < 0.5:
            known = await self._read(owner, concept)
            if known == GONE:
                return
            headers = {"If-Match": f'"{known}"'}
        began = time.monotonic()
        answer = await self._written("PATCH", f"{_concepts(owner)}/{concept}", {"info": value}, headers)
        if answer.status_code == 200:
            self._note(concept, "write", began, answer.json()["version"], value)

    async def _delete(self, owner: str, concept: str) -> None:
        if concept in self._world.concepts[owner]:
            self._world.concepts[owner].remove(concept)
        began = time.monotonic()
        answer = await self._written("DELETE", f"{_concepts(owner)}/{concept}", None)
        self._note(concept, "delete", began, GONE, "", acknowledged=answer.status_code == 200)

    async def _read(self, owner: str, concept: str) -> int:
        answer, began = await self._sent("GET", f"{_concepts(owner)}/{concept}")
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {"version": GONE, "info": ""}
        if answer.status_code in (200, 404):
            self._note(concept, "read", began, found["version"], found["info"])
        return int(found["version"])

    async def _find(self, owner: str, concept: str) -> None:
        """By its name, which no other concept ever has."""
        body = {"text": f"<{self._world.names[concept]}>"}
        answer, began = await self._sent("POST", f"/v1/users/{owner}/retrieve", body)
        if answer.status_code == 200:
            versions = {e["concept_id"]: e["version"] for e in answer.json()["evidence"]}
            self._note(concept, "read", began, versions.get(concept, GONE), None)

    async def _look(self, owner: str, concept: str) -> None:
        """At the picture that it was remembered by: the concept is the nearest there is, in whatever space."""
        picture = self._world.pictures[concept]
        body = {"image": picture["image"], "boxes_xyxy": [picture["box_xyxy"]]}
        answer, _ = await self._sent("POST", f"/v1/users/{owner}/retrieve", body)
        if answer.status_code == 200 and concept in self._world.concepts[owner]:
            found = answer.json()["regions"][0]["candidates"]
            alike = any(c["concept_id"] == concept and c["similarity"] > THE_SAME for c in found)
            self._world.answers["pictures recognised" if alike else "pictures not recognised"] += 1

    async def _list(self, owner: str) -> None:
        known = list(self._world.concepts[owner])
        answer, began = await self._sent("GET", f"{_concepts(owner)}?limit=100")
        if answer.status_code != 200 or answer.json()["has_more"]:
            return
        found = {c["id"]: c for c in answer.json()["data"]}
        for concept in {*known, *found}:
            seen = found.get(concept, {"version": GONE, "info": ""})
            self._note(concept, "read", began, seen["version"], seen["info"])

    async def _written(
        self, method: str, path: str, body: Mapping[str, object] | None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """The answer to a write, sent with one key until there is one."""
        key = {"Idempotency-Key": f"{self._number}-{time.time_ns()}"}
        return (await self._sent(method, path, body, {**key, **(headers or {})}))[0]

    async def _sent(
        self, method: str, path: str, body: Mapping[str, object] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[httpx.Response, float]:
        """An answer that is not an outage's, and when the attempt that got it began."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            began = time.monotonic()
            try:
                answer = await self._http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                self._world.answers[f"{method} {type(error).__name__}"] += 1
            else:
                self._world.answers[f"{method} {answer.status_code}"] += 1
                if answer.status_code >= 500:
                    self._world.reasons[_reason(answer)] += 1
                if answer.status_code < 500 and answer.status_code != 429 and not _under_way(answer):
                    return answer, began
            if time.monotonic() > patience:
                raise TimeoutError(f"{method} {path} was not answered")
            await asyncio.sleep(PAUSE_SECONDS)

    def _note(
        self, concept: str, kind: Kind, began: float, version: int, value: str | None, *, acknowledged: bool = True
    ) -> None:
        event = Event(self._number, concept, kind, began, time.monotonic(), version, value, acknowledged)
        self._world.events.append(event)


async def duplicates(service: dict[str, str], world: World) -> int:
    """How many concepts and versions there are that no client was told of: writes that were done twice."""
    headers = {"Authorization": f"Bearer {service['api_key']}"}
    told = Counter(e.concept for e in world.events if e.kind == "write")
    async with httpx.AsyncClient(base_url=service["url"], headers=headers, timeout=60, trust_env=False) as http:
        answers = [await http.get(f"{_concepts(owner)}?limit=100") for owner in world.owners]
        pages = [answer.raise_for_status().json() for answer in answers]
    return sum(concept["version"] - told[concept["id"]] for page in pages for concept in page["data"])


async def filled(service: dict[str, str], options: argparse.Namespace) -> tuple[World, list[Client]]:
    """Owners with a few concepts each."""
    stamp = time.time_ns()
    world = World([f"c{stamp}-{n}" for n in range(options.owners)])
    world.concepts = {owner: [] for owner in world.owners}
    looks = LOOKS if options.outages in CHANGES else 0.0
    clients = [Client(n, service, world, options.seed, looks=looks) for n in range(options.clients)]
    for start in range(0, len(world.owners), len(clients)):
        some = world.owners[start : start + len(clients)]
        for _ in range(CONCEPTS_AT_FIRST):
            await asyncio.gather(*(c.add(owner) for c, owner in zip(clients, some, strict=False)))
    return world, clients


async def run(options: argparse.Namespace) -> dict[str, object]:
    """The figures of a run, which lasts for its operations and for its outages."""
    service = json.loads((options.home / "service.json").read_text())
    before = await requests_by_gateway(service["url"])
    world, clients = await filled(service, options)
    chaos = asyncio.create_task(_outages(options, world) if options.outages else asyncio.sleep(0, Counter()))
    done = 0

    async def work(client: Client) -> None:
        nonlocal done
        while done < options.operations or not chaos.done():
            done += 1
            bar.update()
            await client.act()

    began = time.monotonic()
    with tqdm(total=options.operations, desc="operations", mininterval=10) as bar:
        await asyncio.gather(chaos, *(work(client) for client in clients))
    seconds = time.monotonic() - began
    await asyncio.gather(*(client.read_all(n, len(clients)) for n, client in enumerate(clients)))
    wrong = violations(world.events)
    unknown = await duplicates(service, world)
    await asyncio.sleep(METRICS_SECONDS)
    return {
        "operations": done,
        "owners": options.owners,
        "clients": options.clients,
        "outages": {options.outages: dict(chaos.result())} if options.outages else {},
        "seconds": round(seconds, 1),
        "events": dict(Counter(e.kind for e in world.events)),
        "answers": dict(sorted(world.answers.items())),
        "refused": dict(world.reasons),
        "requests_by_gateway": dict(await requests_by_gateway(service["url"]) - before),
        "violations": dict(Counter(v.promise for v in wrong)),
        "duplicates": unknown,
        "stored": await stored(options.home, world),
        "first": [asdict(v) for v in wrong[:5]],
    }


async def _outages(options: argparse.Namespace, world: World) -> Counter[str]:
    """Each once the one before is over, where it is one that stops everything."""

    async def recovered() -> None:
        written = world.answers["PATCH 200"]
        while options.outages == "milvus" and world.answers["PATCH 200"] < written + RECOVERED_WRITES:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_SECONDS)

    return await outages(
        _kinds(options), times=options.times, pause=options.pause, seed=options.seed, recovered=recovered
    )


def _kinds(options: argparse.Namespace) -> dict[str, Outage]:
    if options.outages == "redis":
        kinds = LocalRedis(options.redis_port).outages
        return {kind: kinds[kind] for kind in options.only or kinds}
    if options.outages in CHANGES:
        return change_of(options.home, options.outages)
    return kill_of(options.home, options.outages)


async def stored(home: Path, world: World) -> dict[str, Any]:
    """What lies in the stores of the run's owners."""
    database = Database(f"sqlite:///{home / 'catalogue.sqlite3'}")
    stores = Stores(milvus_uri(home), home / "blobs", database)
    try:
        return await stores.examined([Owner(TENANT, user) for user in world.owners])
    finally:
        await database.close()


def _reason(answer: httpx.Response) -> str:
    """In the service's words; what its proxy answers by itself has no envelope."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return f"no envelope: {answer.text[:80]}"


def _under_way(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and answer.json()["error"]["code"] == "idempotency_key_in_use"


def _concepts(owner: str) -> str:
    return f"/v1/users/{owner}/concepts"


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--owners", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outages", choices=("gateway", "milvus", "redis", *CHANGES))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--pause", type=float, default=6.0, help="seconds between two outages, on average")
    parser.add_argument("--redis-port", type=int, default=6379)
    parser.add_argument("--only", nargs="*", help="of Redis' outages: flush, kill, pause, restart")
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
