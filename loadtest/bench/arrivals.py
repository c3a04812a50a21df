"""Requests that come when they come, whether the last ones were answered or not, over sockets of their own.

A request costs the generator a connection and a few awaits and nothing else, since it shares the machine with what it
measures.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

TENANTS = "/admin/v1/tenants"
TIMEOUT_SECONDS = 60.0
KNOWN_SECONDS = 1.5
"""Until every gateway knows a fresh key."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is, and who runs it."""

    url: str
    operator_key: str

    @classmethod
    def of(cls, home: Path) -> "Service":
        """As ``rap up`` wrote it down."""
        found = json.loads((home / "service.json").read_text())
        return cls(found["url"], found["operator_key"])


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant that asks the same again and again. ``request``: all of it, as it goes over the wire."""

    tenant: str
    host: str
    port: int
    request: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request. Times are seconds on one clock; ``status`` 0: no answer at all."""

    tenant: str
    sent: float
    first: float
    done: float
    status: int
    retry_after: str | None

    @property
    def seconds(self) -> float:
        """From sending to the last byte."""
        return self.done - self.sent


async def clients(service: Service, names: Sequence[str], tokens: int) -> list[Client]:
    """Fresh tenants, each of which asks a question of text alone."""
    headers = {"Authorization": f"Bearer {service.operator_key}"}
    made = []
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=120, trust_env=False) as operator:
        for name in names:
            (await operator.post(TENANTS, json={"id": name})).raise_for_status()
            key = (await operator.post(f"{TENANTS}/{name}/keys", json={})).raise_for_status().json()["secret"]
            models = await operator.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            model = models.raise_for_status().json()["data"][0]["id"]
            made.append(_client(service.url, name, key, model, tokens))
    await asyncio.sleep(KNOWN_SECONDS)
    return made


async def closed(who: Sequence[Client], *, at_once: int, seconds: float) -> list[Answered]:
    """So many that ask one thing after another; one who is refused waits a moment."""
    end = time.monotonic() + seconds

    async def ask(client: Client) -> list[Answered]:
        answers = []
        while time.monotonic() < end:
            answers.append(await sent(client))
            if answers[-1].status != 200:
                await asyncio.sleep(0.2)
        return answers

    return [a for answers in await asyncio.gather(*(ask(who[n % len(who)]) for n in range(at_once))) for a in answers]


async def opened(rates: Iterable[tuple[Client, float]], *, seconds: float, seed: int) -> list[Answered]:
    """Poisson arrivals at each client's rate (per second); returns when the last is answered."""
    tasks = [task async for task in _arrivals(list(rates), seconds, random.Random(seed))]
    return list(await asyncio.gather(*tasks))


async def _arrivals(
    rates: list[tuple[Client, float]], seconds: float, rng: random.Random
) -> AsyncIterator["asyncio.Task[Answered]"]:
    total, began = sum(rate for _, rate in rates), time.monotonic()
    at = rng.expovariate(total)
    while at < seconds:
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        (client,) = rng.choices([c for c, _ in rates], [rate for _, rate in rates])
        yield asyncio.create_task(sent(client))
        at += rng.expovariate(total)


async def sent(client: Client) -> Answered:
    """One request, to its last byte."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _exchanged(client, began)
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        now = time.monotonic()
        return Answered(client.tenant, began, now, now, 0, None)


async def _exchanged(client: Client, began: float) -> Answered:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(client.request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        first = time.monotonic()
        await reader.read(-1)
    finally:
        writer.close()
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    status = int(head[0].split()[1])
    return Answered(client.tenant, began, first, time.monotonic(), status, headers.get("retry-after"))


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float]:
    """Of latencies, in milliseconds, and how many there were."""
    values = np.array(list(seconds)) * 1_000
    found = {f"p{q}": round(float(np.percentile(values, q)), 1) for q in (50, 90, 99) if len(values)}
    return {**found, "n": len(values)}


def _client(url: str, tenant: str, key: str, model: str, tokens: int) -> Client:
    place = urlsplit(url)
    body: dict[str, Any] = {
        "model": model,
        "user": "ann",
        "messages": [{"role": "user", "content": "What would you like to know?"}],
        "max_tokens": tokens,
    }
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return Client(tenant, str(place.hostname), int(place.port or 80), head.encode() + data)
