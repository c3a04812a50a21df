"""How long the concept memory takes to read, and whether it ever reads too little.

    python -m loadtest.bench.memory --json memory.json
    python -m loadtest.bench.memory --server-uri http://127.0.0.1:19530

Reads of one owner's library and searches in it, at rest, right after a write of the same owner's and right after one
of another's; "strong" waits for all that anybody wrote, "moment" for the owner's last write. Then, write after write,
a second client reads at once with the writer's moment, and what it does not see is stale.
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient

from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.cli.process import free_port
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, Vector, new_ulid
from rap_serve.domain.ports import Moment
from tests.contract.milvus_server import MilvusServer

QUERIES = 10
NEIGHBOURS = 5


def space_of(options: argparse.Namespace) -> EmbeddingSpace:
    """Of random directions."""
    return EmbeddingSpace("bench", options.dim)


class Place:
    """Two owners with concepts in one memory, and what they wrote last."""

    def __init__(self, memory: MilvusMemory, options: argparse.Namespace) -> None:
        self._memory = memory
        self._space = space_of(options)
        self._concepts = options.concepts
        self._rng = np.random.default_rng(0)
        self.mine, self.other = Owner("bench", new_ulid()), Owner("bench", new_ulid())
        self.moments: dict[Owner, Moment | None] = {}
        self._current: dict[Owner, Concept] = {}

    async def fill(self) -> None:
        """Stores everybody's concepts."""
        for owner in (self.mine, self.other):
            for i in range(self._concepts):
                await self._put(self._concept(owner, f"c {i}"), None)

    async def write(self, owner: Owner) -> Concept:
        """One edit."""
        current = self._current[owner]
        edited = replace(current, version=current.version + 1, info=new_ulid(), avatars=self._avatars())
        await self._put(edited, current.version)
        return edited

    def queries(self) -> np.ndarray:
        """What a picture with some regions asks for."""
        return np.stack([self._vector() for _ in range(QUERIES)])

    async def _put(self, concept: Concept, version: int | None) -> None:
        owner = concept.owner
        self.moments[owner] = await self._memory.put(concept, expected_version=version, after=self.moments.get(owner))
        self._current[owner] = concept

    def _concept(self, owner: Owner, name: str) -> Concept:
        return Concept(
            id=new_ulid(),
            owner=owner,
            name=name,
            category="dog",
            info="",
            version=1,
            created_at=0,
            updated_at=0,
            avatars=self._avatars(),
        )

    def _avatars(self) -> tuple[Avatar, ...]:
        return (
            Avatar(
                id=new_ulid(),
                image_key="k",
                picture_size=(1, 1),
                box_xyxy=None,
                embeddings={self._space.version: self._vector()},
                size_bytes=1,
            ),
        )

    def _vector(self) -> Vector:
        vector = self._rng.normal(size=self._space.dim).astype(np.float32)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


async def latencies(memory: MilvusMemory, place: Place, options: argparse.Namespace) -> dict[str, Any]:
    """Percentiles in milliseconds: call, consistency, what happened just before."""
    queries = place.queries()
    calls: dict[str, Callable[[Moment | None], Awaitable[object]]] = {
        "library": lambda after: memory.library(place.mine, after=after),
        "nearest": lambda after: memory.nearest(place.mine, queries, k=NEIGHBOURS, after=after),
    }
    before = {"idle": None, "after own write": place.mine, "after another's write": place.other}
    found: dict[str, Any] = {}
    for name, call in calls.items():
        for consistency in ("strong", "moment"):
            for situation, writer in before.items():
                taken = []
                for _ in range(options.reads):
                    if writer is None:
                        await asyncio.sleep(options.pause_seconds)
                    else:
                        await place.write(writer)
                    after = place.moments[place.mine] if consistency == "moment" else None
                    started = time.perf_counter()
                    await call(after)
                    taken.append(1_000 * (time.perf_counter() - started))
                found[f"{name}, {consistency}, {situation}"] = _percentiles(taken)
                await asyncio.sleep(0.5)
    return found


async def stale_reads(place: Place, reader: MilvusMemory, checks: int) -> int:
    """How many of the writes another client did not see at once."""
    stale = 0
    for _ in range(checks):
        written = await place.write(place.mine)
        library = await reader.library(place.mine, after=place.moments[place.mine])
        stale += library.get(written.id).info != written.info
    return stale


async def measured(uri: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one server."""
    async with _memory(uri, options) as memory, _memory(uri, options) as reader:
        place = Place(memory, options)
        await place.fill()
        await asyncio.sleep(1.0)
        started = time.perf_counter()
        for _ in range(options.reads):
            await place.write(place.mine)
        write_ms = 1_000 * (time.perf_counter() - started) / options.reads
        return {
            "server": await asyncio.to_thread(_version, uri),
            "write_mean_ms": round(write_ms, 1),
            "milliseconds": await latencies(memory, place, options),
            "write_then_read_elsewhere": {
                "checks": options.checks,
                "stale": await stale_reads(place, reader, options.checks),
            },
        }


@asynccontextmanager
async def _memory(uri: str, options: argparse.Namespace) -> AsyncIterator[MilvusMemory]:
    memory = MilvusMemory(uri=uri, space=space_of(options), timeout_seconds=60.0)
    await memory.ping()
    yield memory
    await memory.close()


@contextmanager
def started(backend: str, options: argparse.Namespace) -> Iterator[str]:
    """The address of a server of that kind, for as long as it is needed."""
    if backend == "server" and options.server_uri:
        yield options.server_uri
        return
    with tempfile.TemporaryDirectory() as folder:
        server: MilvusLiteServer | MilvusServer = (
            MilvusLiteServer(Path(folder), free_port())
            if backend == "lite"
            else MilvusServer(Path(folder), programs=options.programs)
        )
        server.start()
        try:
            yield server.uri
        finally:
            server.stop()


def _version(uri: str) -> str:
    client = MilvusClient(uri)
    version = str(client.get_server_version())
    client.close()
    return version


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def main() -> None:
    """Parses the command line, measures, prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", choices=("lite", "server"), default=["lite", "server"])
    parser.add_argument("--server-uri", help="a running server, instead of one of our own")
    parser.add_argument("--programs", type=Path, default=Path(tempfile.gettempdir()) / "milvus-server")
    parser.add_argument("--concepts", type=int, default=50, help="of each of two owners")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--reads", type=int, default=40, help="for each figure")
    parser.add_argument("--checks", type=int, default=200)
    parser.add_argument("--pause-seconds", type=float, default=0.05, help="between reads at rest")
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "ran": {
            **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
            "queries": QUERIES,
            "neighbours": NEIGHBOURS,
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        }
    }
    for backend in options.backends:
        with started(backend, options) as uri:
            report[backend] = asyncio.run(measured(uri, options))
    text = json.dumps(report, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
