"""Does one owner's search slow down as tenants come? And what does a concept cost in memory and on disk?

    python -m loadtest.bench.tenants --few 10 --many 1000 --concepts 20

On a Milvus Lite server of its own (or ``--uri``), through all that a gateway has: catalogue, seals, shelves, copies.
In one run, among few tenants and then among many: ``warm``, an owner whose library is kept; ``cold``, one whom nobody
has asked for yet; ``nearest``, vector search in Milvus without any copy. A search is of four crops.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.shelves import SqlShelves
from rap_serve.adapters.catalogue.spaces import SqlSpaces
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.adapters.milvus_shelves import ShelvedMemory
from rap_serve.adapters.sealed_memory import SealedMemory
from rap_serve.cli.process import free_port
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import BoxXyxy, Pixels
from rap_serve.domain.tenancy import Tenant, shared_shelf
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels
from rap_serve.services.recall import Recall
from rap_serve.settings import model_path

SPACE = EmbeddingSpace("bench", 1_280)
READS = 200
CROPS = 4
CACHE_BYTES = 64_000_000


class Bench:
    """A gateway's memory, without the service around it."""

    def __init__(self, uri: str, folder: Path, *, shelves: int) -> None:
        self._database = Database(f"sqlite:///{folder / 'catalogue.sqlite3'}")
        self._tenants = SqlTenants(self._database)
        self._shelves = shelves
        self._shelved = ShelvedMemory(SqlShelves(self._database), lambda shelf: _shelf(uri, shelf))
        self._memory = SealedMemory(self._shelved, SqlOwners(self._database, master_key=b"b" * 32), space=SPACE)
        model = EmbeddingModel(SPACE, _NoEmbedder(), load_calibration(model_path("models/tiny/embedder")))
        self._models = EmbeddingModels([model], SqlSpaces(self._database))
        self.forget()

    def forget(self) -> None:
        """Begins with no copies."""
        self._recall = Recall(self._memory, LocalCache(max_bytes=CACHE_BYTES), self._models)

    async def fill(self, first: int, last: int, concepts: int) -> None:
        """Tenants ``first`` to ``last`` with one user each, in one write each."""
        rng = np.random.default_rng(first)
        for number in tqdm(range(first, last), desc="tenants", mininterval=5):
            owner = owner_of(number)
            shelf = shared_shelf(owner.tenant, self._shelves)
            await self._tenants.add(Tenant(id=owner.tenant, shelf=shelf), None)
            await self._memory.add(owner, [concept(owner, n, rng) for n in range(concepts)])

    async def measured(self, tenants: int) -> dict[str, float]:
        """Milliseconds, of owners at random."""
        vectors = np.random.default_rng(tenants)
        some = random.Random(tenants).sample(range(tenants), min(READS, tenants))
        owners = [owner_of(some[n % len(some)]) for n in range(READS)]
        queries = [vectors.normal(size=(CROPS, SPACE.dim)).astype(np.float32) for _ in owners]
        self.forget()
        figures = {}
        for name, search, count in (
            ("cold", self._search, len(some)),
            ("warm", self._search, READS),
            ("nearest", self._nearest, READS),
        ):
            times = [await _seconds(search, o, q) for o, q in zip(owners[:count], queries, strict=False)]
            for share in (50, 99):
                figures[f"{name}_p{share}_ms"] = round(1_000 * float(np.percentile(times, share)), 2)
        return figures

    async def close(self) -> None:
        """Ends all connections."""
        await self._shelved.close()
        await self._database.close()

    async def _search(self, owner: Owner, queries: Matrix) -> None:
        """As a gateway does it."""
        (await self._recall(owner)).similarities(queries)

    async def _nearest(self, owner: Owner, queries: Matrix) -> None:
        await self._shelved.nearest(owner, queries, k=5)


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


async def _seconds(search: Callable[[Owner, Matrix], Awaitable[None]], owner: Owner, queries: Matrix) -> float:
    began = time.perf_counter()
    await search(owner, queries)
    return time.perf_counter() - began


def _shelf(uri: str, shelf: str) -> MilvusMemory:
    return MilvusMemory(uri=uri, space=SPACE, timeout_seconds=120, prefix=f"tenants_{shelf}")


async def run(options: argparse.Namespace, uri: str, folder: Path, server: psutil.Process) -> dict[str, object]:
    """The figures, and the ratio of many to few."""
    bench = Bench(uri, folder, shelves=options.shelves)
    await bench.fill(0, options.few, options.concepts)
    few, empty = await bench.measured(options.few), (server.memory_info().rss, size_of(options.data or folder))
    await bench.fill(options.few, options.many, options.concepts)
    await asyncio.sleep(2)
    many = await bench.measured(options.many)
    await bench.close()
    more = (options.many - options.few) * options.concepts
    return {
        "shelves": options.shelves,
        "concepts_a_tenant": options.concepts,
        f"{options.few}_tenants": few,
        f"{options.many}_tenants": many,
        "ratio_p50": {name: round(many[name] / few[name], 2) for name in few if "p50" in name},
        "memory_bytes_a_concept": round((server.memory_info().rss - empty[0]) / more),
        "disk_bytes_a_concept": round((size_of(options.data or folder) - empty[1]) / more),
    }


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", help="a running Milvus instead of a Lite server of its own; with --pid and --data")
    parser.add_argument("--pid", type=int, help="of that Milvus")
    parser.add_argument("--data", type=Path, help="where that Milvus keeps its files")
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=1_000)
    parser.add_argument("--concepts", type=int, default=20)
    parser.add_argument("--shelves", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.uri:
            found = asyncio.run(run(options, options.uri, folder, psutil.Process(options.pid)))
        else:
            server = MilvusLiteServer(folder, free_port())
            server.start()
            try:
                found = asyncio.run(run(options, server.uri, folder, psutil.Process(server.pid)))
            finally:
                server.stop()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
