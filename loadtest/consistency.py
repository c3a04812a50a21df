"""Random writes and reads by several clients over all gateways, recorded and checked; with outages if asked for.

    python -m loadtest.consistency --home .rap --operations 10000 --owners 50 --clients 8

Each client has connections of its own. Writes carry an idempotency key and are sent again, with the same key, until
there is an answer; half of the edits say which version they replace. ``--kill gateway|milvus`` adds outages.
"""

import argparse
import asyncio
import json
import random
import signal
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import psutil

from loadtest import drawn
from loadtest.history import GONE, Event, violations
from loadtest.processes import service_processes

CONCEPTS_AT_FIRST = 3
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.2
SHARES = {"read": 0.45, "list": 0.15, "edit": 0.3, "add": 0.06, "delete": 0.04}


@dataclass
class World:
    """What there is to read and write, and what has been done."""

    owners: list[str]
    concepts: dict[str, list[str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    made: int = 0


class Client:
    """One client: does one thing after another and notes what it saw."""

    def __init__(self, number: int, service: dict[str, str], world: World, seed: int) -> None:
        headers = {"Authorization": f"Bearer {service['api_key']}"}
        self._http = httpx.AsyncClient(base_url=service["url"], headers=headers, timeout=60, trust_env=False)
        self._number = number
        self._world = world
        self._rng = random.Random(seed * 1_000 + number)

    async def act(self) -> None:
        """One thing at random."""
        kind = self._rng.choices(list(SHARES), list(SHARES.values()))[0]
        owner = self._rng.choice(self._world.owners)
        ids = self._world.concepts[owner]
        if kind == "add" or not ids:
            await self.add(owner)
        elif kind == "list":
            await self._list(owner)
        else:
            concept = self._rng.choice(ids)
            await {"read": self._read, "edit": self._edit, "delete": self._delete}[kind](owner, concept)

    async def add(self, owner: str) -> None:
        """A new concept."""
        self._world.made += 1
        value = f"value {self._world.made}"
        body = {**drawn.concept(f"thing-{self._world.made}", drawn.thing(self._world.made % 40), 1), "info": value}
        began = time.monotonic()
        answer = await self._written("POST", _concepts(owner), body)
        if answer.status_code == 201:
            concept = answer.json()
            self._world.concepts[owner].append(concept["id"])
            self._note(concept["id"], "write", began, concept["version"], value)

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
        began = time.monotonic()
        answer = await self._sent("GET", f"{_concepts(owner)}/{concept}", None, {})
        found = answer.json() if answer.status_code == 200 else {"version": GONE, "info": ""}
        if answer.status_code in (200, 404):
            self._note(concept, "read", began, found["version"], found["info"])
        return int(found["version"])

    async def _list(self, owner: str) -> None:
        known, began = list(self._world.concepts[owner]), time.monotonic()
        answer = await self._sent("GET", f"{_concepts(owner)}?limit=100", None, {})
        if answer.status_code != 200 or answer.json()["has_more"]:
            return
        found = {c["id"]: c for c in answer.json()["data"]}
        for concept in {*known, *found}:
            seen = found.get(concept, {"version": GONE, "info": ""})
            self._note(concept, "read", began, seen["version"], seen["info"])

    async def _written(
        self, method: str, path: str, body: dict[str, object] | None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """The answer to a write, sent with one key until there is one."""
        key = {"Idempotency-Key": f"{self._number}-{time.time_ns()}"}
        return await self._sent(method, path, body, {**key, **(headers or {})})

    async def _sent(
        self, method: str, path: str, body: dict[str, object] | None, headers: dict[str, str]
    ) -> httpx.Response:
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = await self._http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                self._world.answers[type(error).__name__] += 1
            else:
                self._world.answers[f"{method} {answer.status_code}"] += 1
                code = answer.json()["error"]["code"] if answer.status_code >= 400 else ""
                if answer.status_code < 500 and answer.status_code != 429 and code != "idempotency_key_in_use":
                    return answer
            if time.monotonic() > patience:
                raise TimeoutError(f"{method} {path} was not answered")
            await asyncio.sleep(PAUSE_SECONDS)

    def _note(
        self, concept: str, kind: str, began: float, version: int, value: str, *, acknowledged: bool = True
    ) -> None:
        event = Event(self._number, concept, kind, began, time.monotonic(), version, value, acknowledged)  # type: ignore[arg-type]
        self._world.events.append(event)


async def duplicates(service: dict[str, str], world: World) -> int:
    """How many concepts there are that no client was told of."""
    headers = {"Authorization": f"Bearer {service['api_key']}"}
    known = {e.concept for e in world.events}
    async with httpx.AsyncClient(base_url=service["url"], headers=headers, timeout=60, trust_env=False) as http:
        pages = [(await http.get(f"{_concepts(owner)}?limit=100")).json() for owner in world.owners]
    return sum(concept["id"] not in known for page in pages for concept in page["data"])


async def outages(what: str, times: int, pause: float, home: Path) -> None:
    """kill -9 of one such process, again and again."""
    for number in range(times):
        await asyncio.sleep(pause)
        victims = [p for p in service_processes(home) if _is(p, what)]
        if victims:
            random.Random(number).choice(victims).send_signal(signal.SIGKILL)


def _is(process: psutil.Process, what: str) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    marks = {"gateway": "IngressDeployment", "milvus": "milvus_lite_server"}
    return marks[what] in line


async def run(options: argparse.Namespace) -> dict[str, object]:
    """The figures of a run."""
    service = json.loads((options.home / "service.json").read_text())
    stamp = time.time_ns()
    world = World([f"c{stamp}-{n}" for n in range(options.owners)])
    world.concepts = {owner: [] for owner in world.owners}
    clients = [Client(n, service, world, options.seed) for n in range(options.clients)]
    for start in range(0, len(world.owners), len(clients)):
        some = world.owners[start : start + len(clients)]
        for _ in range(CONCEPTS_AT_FIRST):
            await asyncio.gather(*(c.add(owner) for c, owner in zip(clients, some, strict=False)))
    left = options.operations

    async def work(client: Client) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await client.act()

    began = time.monotonic()
    chaos = (
        asyncio.create_task(outages(options.kill, options.times, options.pause, options.home)) if options.kill else None
    )
    await asyncio.gather(*(work(client) for client in clients))
    seconds = time.monotonic() - began
    if chaos is not None:
        chaos.cancel()
    wrong = violations(world.events)
    return {
        "operations": options.operations,
        "owners": options.owners,
        "clients": options.clients,
        "killed": options.kill,
        "seconds": round(seconds, 1),
        "events": len(world.events),
        "answers": dict(sorted(world.answers.items())),
        "violations": dict(Counter(v.promise for v in wrong)),
        "duplicates": await duplicates(service, world),
        "first": [asdict(v) for v in wrong[:5]],
    }


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
    parser.add_argument("--kill", choices=("gateway", "milvus"), help="kill -9 one of these again and again")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--pause", type=float, default=6.0, help="seconds between two kills")
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
