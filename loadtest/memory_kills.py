"""A Milvus server is killed again and again while concepts of many tenants are written: is everything there?

    python -m loadtest.memory_kills --folder /tmp/kills --tenants 1500 --kills 20

First many concepts are written, then clients add and read at random while the server is killed with rows that it has
only in its log. What a client was told is written must be in every later answer: ``unguarded`` reads Milvus as it is,
``guarded`` holds it against the catalogue as the service does, and may say that it does not know. In the end all
owners are read: ``lost`` counts concepts that were acknowledged and are gone. Exits 1 where a guarded answer was wrong,
or something is lost. ``--channels 16 --sync-seconds 600`` is a server as it is by default: it loses a third.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from loadtest.bench.tenants import Bench, concept, owner_of
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.whole_memory import WholeMemory
from rap_serve.cli.process import free_port
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.ports import ConceptMemory
from rap_serve.domain.tenancy import Amounts
from tests.contract.milvus_server import MilvusServer

SETTLE_SECONDS = 300.0
PAUSE_SECONDS = 0.2


class Clients:
    """They add and read concepts, and know what they were told."""

    def __init__(self, bench: Bench, *, tenants: int, concepts: int) -> None:
        self._quotas = SqlQuotas(bench.database)
        self._ways: dict[str, ConceptMemory] = {
            "unguarded": bench.shelved,
            "guarded": WholeMemory(bench.shelved, self._quotas),
        }
        self._owners = [owner_of(number) for number in range(tenants)]
        self._filled = concepts
        self._added: dict[str, set[str]] = defaultdict(set)
        self._numbers = np.random.default_rng(0)
        self.answers = {way: Counter[str]() for way in self._ways}
        self.writes = Counter[str]()

    async def work(self, rng: random.Random, until: asyncio.Event) -> None:
        """One client, a write and a read of each way in turn."""
        while not until.is_set():
            await self._add(rng)
            for way in self._ways:
                self.answers[way][await self._read(way, rng.randrange(len(self._owners)))] += 1

    async def lost(self) -> tuple[int, float]:
        """How many acknowledged concepts are in no answer of the server's, and how long it took to give all."""
        began, missing, unread = time.monotonic(), 0, list(range(len(self._owners)))
        with tqdm(total=len(unread), desc="owners read", mininterval=10) as bar:
            while unread:
                number = unread.pop(0)
                try:
                    found = await self._found("unguarded", number)
                except Unavailable:
                    if time.monotonic() - began > SETTLE_SECONDS:
                        raise
                    unread.append(number)
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                missing += self._missing(number, found, self._told(number))
                bar.update()
        return missing, time.monotonic() - began

    async def _add(self, rng: random.Random) -> None:
        """As the service does it: reserved, written, counted."""
        owner = rng.choice(self._owners)
        new = concept(owner, self._numbers.integers(1 << 60), self._numbers)
        reservation = await self._quotas.reserve(owner, Amounts(concepts=1))
        try:
            await self._ways["guarded"].add(owner, [new])
        except Unavailable:
            self.writes["refused"] += 1  # it may have happened, as the reservation goes on to say
            await asyncio.sleep(PAUSE_SECONDS)
            return
        await self._quotas.settle(reservation)
        self._added[owner.scope].add(new.id)
        self.writes["acknowledged"] += 1

    async def _read(self, way: str, number: int) -> str:
        told = self._told(number)
        try:
            found = await self._found(way, number)
        except Unavailable:
            return "503"
        return "wrong" if self._missing(number, found, told) else "right"

    async def _found(self, way: str, number: int) -> set[str]:
        return {known.id for known in (await self._ways[way].library(self._owners[number])).concepts}

    def _told(self, number: int) -> set[str]:
        return set(self._added[self._owners[number].scope])

    def _missing(self, number: int, found: set[str], told: set[str]) -> int:
        """Of those told of since, by name; of those written at first, by number."""
        since = self._told(number)
        return len(told - found) + max(0, self._filled - len(found - since))


async def run(bench: Bench, options: argparse.Namespace) -> dict[str, object]:
    """What the clients saw."""
    await bench.fill(options.tenants, options.concepts)
    clients = Clients(bench, tenants=options.tenants, concepts=options.concepts)
    until = asyncio.Event()
    rngs = [random.Random(number) for number in range(options.clients)]
    tasks = [asyncio.create_task(clients.work(rng, until)) for rng in rngs]
    for _ in tqdm(range(options.kills), desc="kills"):
        await asyncio.sleep(options.seconds * (0.5 + rngs[0].random()))
        await asyncio.to_thread(bench.restart)
        print(json.dumps(clients.answers), file=sys.stderr, flush=True)
    await asyncio.sleep(options.seconds)
    until.set()
    await asyncio.gather(*tasks)
    lost, seconds = await clients.lost()
    await bench.close()
    return {
        "tenants": options.tenants,
        "filled_with": options.tenants * options.concepts,
        "kills": options.kills,
        "sync_seconds": options.sync_seconds,
        "channels": options.channels,
        "writes": clients.writes,
        "answers": clients.answers,
        "lost": lost,
        "all_read_after_seconds": round(seconds),
    }


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the server keeps its data; a new one")
    parser.add_argument("--tenants", type=int, default=1_500)
    parser.add_argument("--concepts", type=int, default=20, help="of each tenant, before the first kill")
    parser.add_argument("--shelves", type=int, default=8)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0, help="from a start to the next kill, on average")
    parser.add_argument("--sync-seconds", type=int, default=10, help="how long the server has rows in its log alone")
    parser.add_argument(
        "--channels", type=int, default=64, help="of the server's log; fewer than collections are shared"
    )
    options = parser.parse_args()
    data = options.folder / "data"
    data.mkdir(parents=True)
    server = MilvusServer(
        data,
        programs=options.folder / "programs",
        time_tick_ms=50,
        sync_seconds=options.sync_seconds,
        channels=options.channels,
        port=free_port(),
    )
    with Bench(options.folder, server=server, shelves=options.shelves) as bench:
        found = asyncio.run(run(bench, options))
    print(json.dumps(found, indent=1))
    wrong = found["answers"]["guarded"]["wrong"]  # type: ignore[index]
    sys.exit(1 if wrong or found["lost"] else 0)


if __name__ == "__main__":
    main()
