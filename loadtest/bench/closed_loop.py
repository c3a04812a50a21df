"""Clients that each wait for an answer before they ask again, and what they got."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from loadtest.processes import CpuMeter
from loadtest.yardstick import Yardstick

PATH = "/v1/chat/completions"
_DATA = b"data: "


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One answer. Seconds are from when it was asked for; ``first`` is the whole answer where it is no stream.

    ``place``: of what was asked among all that is asked.
    """

    place: int
    status: int
    first_seconds: float
    seconds: float
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    rap: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == 200


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What some clients got within a time, the CPU seconds it took by kind of process, and how fast the machine was."""

    concurrency: int
    seconds: float
    served: Sequence[Served]
    cpu_seconds: dict[str, float]
    yardstick_ms: float

    @property
    def good(self) -> list[Served]:
        return [s for s in self.served if s.ok]

    def figures(self) -> dict[str, Any]:
        """Rates, percentiles, and CPU milliseconds a request."""
        good = self.good
        tokens = sum(s.completion_tokens for s in good)
        cpu = {kind: round(1_000 * s / max(len(good), 1), 2) for kind, s in self.cpu_seconds.items()}
        return {
            "concurrency": self.concurrency,
            "requests": len(good),
            "errors": len(self.served) - len(good),
            "requests_per_s": round(len(good) / self.seconds, 2),
            "tokens_per_s": round(tokens / self.seconds, 1),
            "tokens_per_request": round(tokens / max(len(good), 1), 1),
            "first_ms": percentiles([s.first_seconds for s in good]),
            "whole_ms": percentiles([s.seconds for s in good]),
            "cpu_ms_per_request": cpu,
            "yardstick_ms": round(self.yardstick_ms, 2),
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 in milliseconds."""
    if not seconds:
        return {}
    found = np.percentile(1_000 * np.asarray(seconds), (50, 95, 99))
    return dict(zip(("p50", "p95", "p99"), (round(float(f), 1) for f in found), strict=True))


async def drive(
    url: str,
    key: str,
    bodies: Iterator[tuple[int, dict[str, Any]]],
    *,
    concurrency: int,
    seconds: float,
    meter: CpuMeter,
) -> Window:
    """Asks for ``seconds`` and waits for what is still under way; the rate is over all of that time.

    ``bodies``: each with its place, taken in turn by whoever is free; the clients end with them.
    """
    served: list[Served] = []
    before, began = meter.read(), time.perf_counter()

    async def client(http: aiohttp.ClientSession) -> None:
        while time.perf_counter() - began < seconds and (taken := next(bodies, None)) is not None:
            served.append(await ask(http, *taken))

    async with session(url, key, concurrency) as http:
        with Yardstick() as machine:
            await asyncio.gather(*(client(http) for _ in range(concurrency)))
    took = time.perf_counter() - began
    return Window(concurrency, took, served, meter.since(before), machine.ms)


def session(url: str, key: str, connections: int) -> aiohttp.ClientSession:
    """A client with so many connections."""
    return aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=300),
    )


async def ask(http: aiohttp.ClientSession, place: int, body: dict[str, Any]) -> Served:
    """One answer, streamed where the body says so."""
    began = time.perf_counter()
    try:
        async with http.post(PATH, json=body) as answer:
            if answer.status != 200:
                await answer.read()
                return Served(place, answer.status, 0.0, time.perf_counter() - began)
            if body.get("stream"):
                return await _streamed(answer, place, began)
            whole = await answer.json()
    except aiohttp.ClientError:
        return Served(place, 0, 0.0, time.perf_counter() - began)
    took = time.perf_counter() - began
    text = whole["choices"][0]["message"]["content"]
    return Served(place, 200, took, took, text, *_usage(whole), rap=whole.get("rap", {}))


async def _streamed(answer: aiohttp.ClientResponse, place: int, began: float) -> Served:
    first, pieces, last = 0.0, [], {}
    async for line in answer.content:
        if not line.startswith(_DATA) or line.startswith(_DATA + b"[DONE]"):
            continue
        chunk = json.loads(line[len(_DATA) :])
        if "error" in chunk:
            return Served(place, 500, 0.0, time.perf_counter() - began)
        for choice in chunk.get("choices", ()):
            if text := choice["delta"].get("content"):
                first = first or time.perf_counter() - began
                pieces.append(text)
        last = {**last, **{k: chunk[k] for k in ("usage", "rap") if chunk.get(k)}}
    took = time.perf_counter() - began
    return Served(place, 200, first or took, took, "".join(pieces), *_usage(last), rap=last.get("rap", {}))


def _usage(payload: dict[str, Any]) -> tuple[int, int]:
    usage = payload.get("usage") or {}
    return usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
