"""What stands before a cluster's gateways: connections go in turn to those that are ready.

As a Kubernetes Service with readiness probes and a proxy that tries another endpoint where one takes no connection. It
knows nothing of HTTP; what was sent over a connection that breaks is the client's to repeat.
"""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Sequence
from types import TracebackType

PROBE_SECONDS = 1.0
CONNECT_SECONDS = 2.0
_PROBE = b"GET /-/healthz HTTP/1.0\r\nHost: rap\r\n\r\n"


class Balancer:
    """Runs in a thread of its own. ``url``: where clients go."""

    def __init__(self, address: str, endpoints: Sequence[tuple[str, int]]) -> None:
        self._address = address
        self._endpoints = tuple(endpoints)
        self._ready: frozenset[tuple[str, int]] = frozenset()
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = ""

    @property
    def ready(self) -> int:
        """How many endpoints are."""
        return len(self._ready)

    def __enter__(self) -> "Balancer":
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, self._address, 0))
        self.url = f"http://{self._address}:{server.sockets[0].getsockname()[1]}"
        probing = self._loop.create_task(self._probe())
        self._started.set()
        self._loop.run_forever()
        server.close()
        probing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(probing)
        self._loop.close()

    async def _probe(self) -> None:
        while True:
            answers = await asyncio.gather(*(_is_ready(*endpoint) for endpoint in self._endpoints))
            self._ready = frozenset(itertools.compress(self._endpoints, answers))
            await asyncio.sleep(PROBE_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner = await self._connected()
            if inner is not None:
                await asyncio.gather(_pipe(reader, inner[1]), _pipe(inner[0], writer))
        finally:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ready = sorted(self._ready)
        first = next(self._turn)
        for place in range(len(ready)):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(*ready[(first + place) % len(ready)])
        return None


async def _is_ready(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_PROBE)
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
