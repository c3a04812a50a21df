"""The gate in front of a real server, with a real catalogue behind it: turns, refusals, and clients that go away."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.rate_limits import LocalRateLimits
from rap_serve.api.gate import Gate
from rap_serve.domain.pace import Pace
from rap_serve.services.admit import Admit, Lane, LaneName
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.retrieve import Retrieval
from rap_serve.services.throttle import Throttle

KEYS = {"acme": "rap_acme", "other": "rap_other"}
CHAT = "/v1/chat/completions"


class Seen:
    """Metrics: how many wait in each lane."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}

    def request_began(self) -> None: ...
    def request(self, *, route: str, method: str, status: int, seconds: float) -> None: ...
    def answer_began(self, given: Retrieval, *, seconds: float) -> None: ...
    def admitted(self, *, lane: str, waited_seconds: float) -> None: ...
    def rejected(self, *, lane: str, reason: str) -> None: ...

    def lane(self, *, lane: str, waiting: int, under_way: int, slots: int) -> None:
        self.waiting[lane] = waiting


class Slow:
    """An application that streams until it is told to stop; what comes first is counted."""

    def __init__(self) -> None:
        self.reached = 0
        self.under_way = 0
        self.another = asyncio.Event()
        self.enough = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.reached += 1
        if self.reached > 1:
            self.another.set()
        if Request(scope).query_params.get("fails"):
            raise RuntimeError("broken")
        await StreamingResponse(self._pieces())(scope, receive, send)

    async def _pieces(self) -> AsyncIterator[str]:
        self.under_way += 1
        try:
            while not self.enough.is_set():
                yield "piece\n"
                await asyncio.sleep(0.02)
        finally:
            self.under_way -= 1


class Served:
    """The gate, with one slot and a short line."""

    def __init__(self, url: str, app: Slow, seen: Seen) -> None:
        self.url = url
        self.app = app
        self._seen = seen

    def client(self, tenant: str = "acme") -> httpx.AsyncClient:
        """With a tenant's key."""
        headers = {"Authorization": f"Bearer {KEYS[tenant]}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20, trust_env=False, verify=False)

    async def waiting(self, count: int) -> None:
        """Returns when so many chats wait."""
        for _ in range(1_000):
            if self._seen.waiting.get("models") == count:
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(f"{count} chats should wait, not {self._seen.waiting}")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """Behind a socket of its own."""
    database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    authenticate = Authenticate(SqlTenants(database), pepper=b"pepper", keys=KEYS, operator_key=None)
    await authenticate.start()

    def lane(name: LaneName) -> Lane:
        pace = Pace(least=1, most=1, target_seconds=None)
        weight = lambda tenant: authenticate.limits(tenant).share  # noqa: E731
        return Lane(name, pace=pace, places=4, wait_seconds=1.2, weight=weight, metrics=seen)

    app, seen = Slow(), Seen()
    admit = Admit(lane("models"), lane("memory"), report_seconds=0.02)
    reporting = asyncio.create_task(admit.watch())
    gate = Gate(
        app,
        deadline_seconds=20,
        authenticate=authenticate,
        throttle=Throttle(LocalRateLimits(), authenticate.limits),
        admit=admit,
        body_bytes=1_000_000,
        archive_bytes=1_000_000,
        metrics=seen,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(gate, lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", app, seen)
    app.enough.set()
    server.should_exit = True
    await serving
    reporting.cancel()
    await database.close()


@contextlib.asynccontextmanager
async def streaming(served: Served, client: httpx.AsyncClient) -> AsyncIterator[httpx.Response]:
    """An answer that has begun and goes on."""
    async with client.stream("POST", CHAT, json={}) as answer:
        pieces = answer.aiter_text()  # an iterator that is thrown away would close the answer
        await anext(pieces)
        yield answer


async def test_a_refused_request_reaches_nothing_and_is_told_when_to_come_again(served: Served) -> None:
    """In the envelope, with Retry-After, while the others go on; what never waits is answered meanwhile."""
    async with served.client() as client, streaming(served, client):
        in_line = [asyncio.create_task(client.post(CHAT, json={})) for _ in range(2)]
        await served.waiting(2)
        refused = await client.post(CHAT, json={})
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "cluster_full"
        assert int(refused.headers["retry-after"]) >= 1 and "x-request-id" in refused.headers
        assert served.app.reached == 1
        async with served.client("other") as other, other.stream("GET", "/v1/jobs/x") as polled:
            assert polled.status_code == 200
        served.app.enough.set()
        assert [a.status_code for a in await asyncio.gather(*in_line)] == [200, 200]


async def test_who_has_more_than_its_share_is_told_so(served: Served) -> None:
    """Once others want theirs; they are let in all the same."""
    async with served.client() as client, served.client("other") as other, streaming(served, client):
        crowd = [asyncio.create_task(client.post(CHAT, json={})) for _ in range(2)]
        await served.waiting(2)
        quiet = asyncio.create_task(other.post(CHAT, json={}))
        await served.waiting(3)
        refused = await client.post(CHAT, json={})
        assert refused.status_code == 429 and refused.json()["error"]["code"] == "over_share"
        served.app.enough.set()
        assert (await quiet).status_code == 200
        await asyncio.gather(*crowd)


async def test_the_slot_of_a_stream_is_free_once_its_client_is_gone(served: Served) -> None:
    """Within a second, for the next in line."""
    async with served.client() as client, served.client("other") as other:
        async with streaming(served, client):
            waiting = asyncio.create_task(other.post(CHAT, json={}))
            await served.waiting(1)
            assert served.app.reached == 1
        await asyncio.wait_for(served.app.another.wait(), 1.0)
        assert served.app.reached == 2 and served.app.under_way <= 1
        served.app.enough.set()
        assert (await waiting).status_code == 200


async def test_an_error_frees_the_slot(served: Served) -> None:
    """Whatever it was."""
    async with served.client() as client:
        for _ in range(3):
            assert (await client.post(CHAT, params={"fails": "1"}, json={})).status_code == 500
        served.app.enough.set()
        assert (await client.post(CHAT, json={})).status_code == 200


async def test_reads_do_not_wait_behind_chats(served: Served) -> None:
    """They need other things."""
    async with (
        served.client() as client,
        streaming(served, client),
        client.stream("GET", "/v1/users/ann/concepts") as read,
    ):
        assert read.status_code == 200
