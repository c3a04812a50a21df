"""The real backends that the contract suites run against, each started once."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.adapters.redis_cache import SINCE
from rap_serve.cli.process import free_port
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, Vector, new_ulid
from rap_serve.domain.tenancy import Limits, Tenant
from tests.contract import postgres
from tests.contract.in_process import InProcess
from tests.contract.milvus_server import MilvusServer, missing

DIM = 64
SPACE = EmbeddingSpace("tiny-1", DIM)


def unit_vector(seed: int | None = None, dim: int = DIM) -> Vector:
    """A random direction."""
    vector = np.random.default_rng(seed).normal(size=dim).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def vector_of(avatar: Avatar) -> Vector:
    """Its embedding in the only space that it is in."""
    (vector,) = avatar.embeddings.values()
    return vector


def concept(owner: Owner, name: str, *, avatars: int = 1, **fields: object) -> Concept:
    """A first version of something of ``owner``'s, with random embeddings."""
    values = {
        "id": new_ulid(),
        "owner": owner,
        "name": name,
        "category": "dog",
        "info": "A brown dog.",
        "version": 1,
        "created_at": 1_700_000_000_000,
        "updated_at": 1_700_000_000_001,
        "avatars": tuple(
            Avatar(
                id=new_ulid(),
                image_key=f"k{i}",
                size_bytes=1_000 + i,
                picture_size=(640, 480),
                box_xyxy=(0.0, 1.5, 20.0, 30.0),
                embeddings={SPACE.version: unit_vector()},
            )
            for i in range(avatars)
        ),
        **fields,
    }
    return Concept(**values)  # type: ignore[arg-type]


@pytest.fixture
def owner() -> Owner:
    """Somebody who was never there before."""
    return Owner("contract", new_ulid())


@pytest.fixture(scope="package", params=["lite", "server"])
def milvus_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Each kind of Milvus. RAP_TEST_MILVUS_URI names a server to use instead of our own, a newer one for example."""
    given = os.environ.get("RAP_TEST_MILVUS_URI")
    if request.param == "server" and given:
        yield given
        return
    server = _own_milvus(request, tmp_path_factory.mktemp("milvus"))
    server.start()
    asyncio.run(_create_collections(server.uri))
    yield server.uri
    server.stop()


async def _create_collections(uri: str) -> None:
    """Done once, as it takes a server seconds."""
    memory = MilvusMemory(uri=uri, space=SPACE, timeout_seconds=60.0)
    await memory.ping()
    await memory.close()


def _own_milvus(request: pytest.FixtureRequest, folder: Path) -> MilvusLiteServer | MilvusServer:
    if request.param == "lite":
        return MilvusLiteServer(folder, free_port())
    if reason := missing():
        pytest.skip(reason)
    programs = request.config.cache.mkdir("milvus-server")
    return MilvusServer(folder, programs=programs, time_tick_ms=20)  # so that nobody waits for long


@pytest.fixture(scope="session")
def models() -> InProcess:
    """Loaded once."""
    return InProcess()


@pytest.fixture
async def memory(milvus_uri: str) -> AsyncIterator[MilvusMemory]:
    """A gateway's view of the shared server."""
    memory = MilvusMemory(uri=milvus_uri, space=SPACE)
    yield memory
    await memory.close()


@pytest.fixture(scope="package")
def postgres_url() -> Iterator[str]:
    """One server for the suite."""
    programs = postgres.binaries()
    if programs is None:
        pytest.skip("needs PostgreSQL's server: make servers")
    with postgres.running(programs) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def databases(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Two gateways' connections to one database."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'gateways.sqlite3'}" if sqlite else str(request.getfixturevalue("postgres_url"))
    pair = Database(url), Database(url)
    yield pair
    for database in pair:
        await database.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty catalogue."""
    database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    yield database
    await database.close()


@pytest.fixture
def owners(database: Database) -> SqlOwners:
    """The owners of the catalogue."""
    return SqlOwners(database, master_key=b"m" * 32)


@pytest.fixture
async def quotas(database: Database) -> SqlQuotas:
    """Of a tenant that may hold two concepts."""
    await SqlTenants(database).add(Tenant(id="contract", limits=Limits(concepts=2)), None)
    return SqlQuotas(database)


@dataclass
class RedisServer:
    """A Redis process that keeps nothing on disk unless told to."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *, fresh: bool = False) -> None:
        """Returns once it listens. ``fresh``: it has just begun to know of marks; otherwise long ago."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--save", ""], stdout=log, stderr=log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
                break
            except OSError:
                time.sleep(0.02)
        else:
            raise RuntimeError("redis-server did not start")
        if not fresh:
            self.grow_old()

    def grow_old(self) -> None:
        """As if no mark had been lost for long."""
        with redis.Redis(port=self.port) as client:
            client.set(SINCE, f"{client.info('server')['run_id']}:0")

    def kill(self) -> None:
        """At once, without a goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests that leave it running."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may kill."""
    server = RedisServer(tmp_path, free_port())
    server.start()
    yield server
    server.kill()
