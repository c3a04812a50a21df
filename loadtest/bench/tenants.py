"""Does one owner's search slow down as tenants come? And what does a concept cost in memory and on disk?

    python -m loadtest.bench.tenants --few 10 --many 10000 --concepts 20 --folder /tmp/tenants
    python -m loadtest.bench.tenants --milvus server --folder /tmp/tenants-server

Two servers are filled, one for few tenants and one for many; what is in the folder already is not written again. Then
owners at random are searched through all that a gateway has (catalogue, seals, shelves, copies), in turn on the one
and on the other, so that whatever else the machine does slows both: ``cold``, an owner whom nobody has asked for yet;
``warm``, one whose library is kept; ``nearest``, vector search in Milvus without any copy. A search is of four crops.
``server_cpu``: what the server's processors spent on one search, its rest included, which no other load changes.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import psutil
from sqlalchemy import Connection, insert, select
from tqdm import tqdm

from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import KEY_BYTES, SqlOwners, closed
from rap_serve.adapters.catalogue.schema import owners as known
from rap_serve.adapters.catalogue.schema import tenants
from rap_serve.adapters.catalogue.shelves import SqlShelves
from rap_serve.adapters.catalogue.spaces import SqlSpaces
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.adapters.milvus_schema import avatar_rows, key_of, record_row
from rap_serve.adapters.milvus_shelves import ShelvedMemory
from rap_serve.adapters.milvus_tables import Job, Tables
from rap_serve.adapters.sealed_memory import SealedMemory
from rap_serve.cli.process import free_port
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import Moment
from rap_serve.domain.region import BoxXyxy, Pixels
from rap_serve.domain.tenancy import shared_shelf
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels
from rap_serve.services.recall import Recall
from rap_serve.settings import model_path
from tests.contract.milvus_server import MilvusServer

Server: TypeAlias = MilvusLiteServer | MilvusServer

SPACE = EmbeddingSpace("bench", 512)
CROPS = 4
CACHE_BYTES = 64_000_000
TENANTS_A_WRITE = 50
SETTLE_SECONDS = 5.0
STARTS = 10
SECONDS = 120.0
MASTER_KEY = b"b" * 32
KINDS = ("cold", "warm", "nearest")


class Filling(MilvusMemory):
    """Keeps what it is told to add until it is written, of many owners at once."""

    def __init__(self, uri: str, shelf: str) -> None:
        super().__init__(uri=uri, space=SPACE, timeout_seconds=SECONDS)
        self._tables = Tables(uri=uri, token="", prefix=_prefix(shelf))
        self._rows: list[dict[str, object]] = []

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """See ConceptMemory."""
        for concept in concepts:
            embeddings = [avatar.embeddings[SPACE.version] for avatar in concept.avatars]
            self._rows.append(record_row(concept, key_of(SPACE.version), embeddings))
        return frozenset(), None

    def write(self) -> None:
        """All of it, on disk when this returns."""
        job = Job(SECONDS)
        with self._tables.turn(job):
            self._tables.insert(self._tables.concepts, self._rows, job)
            searched = [row for record in self._rows for row in avatar_rows(record, now_ms=1)]
            self._tables.insert(self._tables.avatars_of(SPACE.dim, job), searched, job)
            if self._tables.flush_due:
                self._tables.flush(job)
        self._rows = []


class Bench:
    """A gateway's memory, without the service around it, and a server of its own."""

    def __init__(self, folder: Path, *, server: Server, shelves: int) -> None:
        self.data = folder / "data"
        self._server = server
        self.database = Database(f"sqlite:///{folder / 'catalogue.sqlite3'}")
        self._shelves = shelves

    def __enter__(self) -> "Bench":
        _started(self._server)
        uri = self._server.uri
        self.shelved = ShelvedMemory(SqlShelves(self.database), lambda shelf: _shelf(uri, shelf))
        self._owners = SqlOwners(self.database, master_key=MASTER_KEY)
        self._memory = SealedMemory(self.shelved, self._owners, space=SPACE)
        model = EmbeddingModel(SPACE, _NoEmbedder(), load_calibration(model_path("models/tiny/embedder")))
        self._models = EmbeddingModels([model], SqlSpaces(self.database))
        self.forget()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def restart(self) -> None:
        """kill -9 of the server, and a new start; returns once it answers."""
        self._server.stop()
        _started(self._server)

    def forget(self) -> None:
        """Begins with no copies."""
        self._recall = Recall(self._memory, LocalCache(max_bytes=CACHE_BYTES), self._models)

    async def fill(self, many: int, concepts: int) -> None:
        """``many`` tenants with one user each; those that are missing."""
        query = select(known.c.tenant)
        there = set(await self.database.read(lambda connection: list(connection.execute(query).scalars())))
        shelves = defaultdict(list)
        for number in range(many):
            if owner_of(number).tenant not in there:
                shelves[shared_shelf(owner_of(number).tenant, self._shelves)].append(number)
        groups = [
            (shelf, some[start : start + TENANTS_A_WRITE])
            for shelf, some in shelves.items()
            for start in range(0, len(some), TENANTS_A_WRITE)
        ]
        rng = np.random.default_rng(len(there))
        for shelf, some in tqdm(groups, desc="writes", mininterval=10):
            filling = Filling(self._server.uri, shelf)
            sealed = SealedMemory(filling, self._owners, space=SPACE)
            await self._enter([owner_of(number) for number in some], shelf, concepts)
            for owner in map(owner_of, some):
                await sealed.add(owner, [concept(owner, n, rng) for n in range(concepts)])
            await asyncio.to_thread(filling.write)
            await filling.close()

    async def _enter(self, some: Sequence[Owner], shelf: str, concepts: int) -> None:
        """Into the catalogue, all at once, with a seal for each and so many concepts counted."""
        of_tenants = [
            {"id": o.tenant, "state": "active", "created_at": 1, "revision": 0, "shelf": shelf, "concepts": concepts}
            for o in some
        ]
        seals = [closed(MASTER_KEY, os.urandom(KEY_BYTES), owner.scope) for owner in some]
        of_owners = [
            {
                "tenant": o.tenant,
                "user": o.user,
                "created_at": 1,
                "shelf": shelf,
                "sealed_key": seal,
                "concepts": concepts,
            }
            for o, seal in zip(some, seals, strict=True)
        ]

        def work(connection: Connection) -> None:
            connection.execute(insert(tenants), of_tenants)
            connection.execute(insert(known), of_owners)

        await self.database.write(work)

    async def check(self, many: int, concepts: int) -> None:
        """Raises where somebody has not got what was written."""
        for number in random.Random(1).sample(range(many), min(50, many)):
            found = len((await self._recall(owner_of(number))).concepts)
            if found != concepts:
                raise RuntimeError(f"{owner_of(number)} has {found} concepts")

    async def seconds(self, kind: str, owner: Owner, queries: Matrix) -> float:
        """Of one search."""
        if kind == "cold":
            self.forget()
        if kind == "warm":
            (await self._recall(owner)).similarities(queries)
            (await self._recall(owner)).similarities(queries)  # the processor has forgotten the few among the many
        began = time.perf_counter()
        if kind == "nearest":
            await self.shelved.nearest(owner, queries, k=5)
        else:
            (await self._recall(owner)).similarities(queries)
        return time.perf_counter() - began

    @property
    def memory_bytes(self) -> int:
        """Of the server."""
        return sum(process.memory_info().rss for process in self._processes())

    @property
    def cpu_seconds(self) -> float:
        """That the server has spent so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        assert self._server.pid is not None
        first = psutil.Process(self._server.pid)
        return [first, *first.children(recursive=True)]

    async def close(self) -> None:
        """Ends all connections."""
        await self.shelved.close()
        await self.database.close()


class _NoEmbedder:
    """Nothing is embedded here."""

    async def embed(self, pixels: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Matrix:
        """See Embedder."""
        raise NotImplementedError

    async def embed_crops(self, crops: Sequence[Pixels]) -> Matrix:
        """See Embedder."""
        raise NotImplementedError


def concept(owner: Owner, number: int, rng: np.random.Generator) -> Concept:
    """Something with a random embedding."""
    vector = rng.normal(size=SPACE.dim).astype(np.float32)
    avatar = Avatar(
        id=new_ulid(),
        image_key="k",
        size_bytes=1,
        picture_size=(320, 320),
        box_xyxy=(0.0, 0.0, 9.0, 9.0),
        embeddings={SPACE.version: vector / np.linalg.norm(vector)},
    )
    fields = {"name": f"thing-{number}", "category": "mug", "info": "A mug." * 20}
    return Concept(id=new_ulid(), owner=owner, version=1, created_at=1, updated_at=1, avatars=(avatar,), **fields)


def owner_of(number: int) -> Owner:
    """One user a tenant."""
    return Owner(f"tenant-{number}", "user")


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _server(folder: Path, milvus: str, time_tick_ms: int) -> Server:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    if milvus == "lite":
        return MilvusLiteServer(data, free_port())
    return MilvusServer(data, programs=folder / "programs", time_tick_ms=time_tick_ms, port=free_port())


def _bench(folder: Path, options: argparse.Namespace) -> Bench:
    server = _server(folder, options.milvus, options.time_tick_ms)
    return Bench(folder, server=server, shelves=options.shelves)


def _started(server: Server) -> None:
    """On a busy machine a start may take longer than is waited for."""
    for _ in range(STARTS):
        with suppress(Unavailable, RuntimeError):
            server.start()
            return
    raise RuntimeError("The server does not start.")


def _prefix(shelf: str) -> str:
    return f"tenants_{shelf}"


def _shelf(uri: str, shelf: str) -> MilvusMemory:
    return MilvusMemory(uri=uri, space=SPACE, timeout_seconds=SECONDS, prefix=_prefix(shelf))


async def measured(few: Bench, many: Bench, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Milliseconds of both, by kind of search, one search on the one and then one on the other."""
    rng, vectors = random.Random(0), np.random.default_rng(0)
    figures: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        times: dict[str, list[float]] = {"few": [], "many": []}
        before = [bench.cpu_seconds for bench in (few, many)]
        for _ in tqdm(range(options.reads), desc=kind, mininterval=10):
            queries = vectors.normal(size=(CROPS, SPACE.dim)).astype(np.float32)
            for name, bench, count in (("few", few, options.few), ("many", many, options.many)):
                # else it begins where the other server's tick ended the one before, always as long before its own
                await asyncio.sleep(rng.uniform(0, options.time_tick_ms / 1_000))
                times[name].append(await bench.seconds(kind, owner_of(rng.randrange(count)), queries))
        figures[kind] = {
            f"{name}_p{share}_ms": round(1_000 * float(np.percentile(some, share)), 2)
            for name, some in times.items()
            for share in (50, 99)
        }
        spent = [bench.cpu_seconds - began for bench, began in zip((few, many), before, strict=True)]
        for name, seconds in zip(times, spent, strict=True):
            figures[kind][f"{name}_server_cpu_ms"] = round(1_000 * seconds / options.reads, 2)
        figures[kind]["ratio_p50"] = round(float(np.median(times["many"]) / np.median(times["few"])), 2)
    return figures


async def run(few: Bench, many: Bench, options: argparse.Namespace) -> dict[str, object]:
    """The figures, and the ratio of many to few."""
    for bench, count in ((few, options.few), (many, options.many)):
        await bench.fill(count, options.concepts)
        await bench.check(count, options.concepts)
    await asyncio.sleep(SETTLE_SECONDS)
    figures = await measured(few, many, options)
    more = (options.many - options.few) * options.concepts
    found = {
        "milvus": options.milvus,
        "tenants": [options.few, options.many],
        "concepts_a_tenant": options.concepts,
        "shelves": options.shelves,
        "time_tick_ms": options.time_tick_ms if options.milvus == "server" else None,
        "reads": options.reads,
        "ms": figures,
        "memory_bytes_a_concept": round((many.memory_bytes - few.memory_bytes) / more),
        "disk_bytes_a_concept": round((size_of(many.data) - size_of(few.data)) / more),
    }
    await few.close()
    await many.close()
    return found


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milvus", choices=("lite", "server"), default="lite")
    parser.add_argument("--time-tick-ms", type=int, default=50, help="a server's; a cold read waits for the next")
    parser.add_argument("--folder", type=Path, required=True, help="where both keep their data")
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=1_000)
    parser.add_argument("--concepts", type=int, default=20)
    parser.add_argument("--shelves", type=int, default=16)
    parser.add_argument("--reads", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as running:
        few, many = (running.enter_context(_bench(options.folder / name, options)) for name in ("few", "many"))
        found = asyncio.run(run(few, many, options))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
