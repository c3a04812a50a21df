"""Many clients at once for a while: errors, percentiles, and whether the service is left as it was found.

    python -m loadtest.burst --home .rap --clients 16 --seconds 120

Each client is a user with concepts of its own and asks, streams, retrieves, edits and remembers in turn.
"""

import argparse
import asyncio
import collections
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from loadtest import drawn
from loadtest.processes import open_files
from rap_serve.cli.scoring import percentiles

CONCEPTS = 4
PICTURES = 8
SETTLE_SECONDS = 10


@dataclass
class Tally:
    """What happened, by kind of request."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))
    errors: collections.Counter[str] = field(default_factory=collections.Counter)

    def report(self, wall_seconds: float) -> dict[str, object]:
        """Counts, errors and latency percentiles in milliseconds."""
        kinds = {k: percentiles(1_000 * t for t in v) for k, v in sorted(self.seconds.items())}
        total = sum(len(v) for v in self.seconds.values())
        return {
            "requests": total,
            "per_second": round(total / wall_seconds, 2),
            "errors": sum(self.errors.values()),
            "errors_by_kind": dict(self.errors),
            "latency_ms": kinds,
        }


class Client:
    """One user at work until the deadline."""

    def __init__(self, http: httpx.AsyncClient, number: int, model: str, tally: Tally) -> None:
        self._http = http
        self._user = f"burst-{time.time_ns()}-{number}"
        self._rng = random.Random(number)
        self._model = model
        self._tally = tally
        self._things = [drawn.thing(1_000 * number + i) for i in range(CONCEPTS)]
        self._pictures = [drawn.scene([self._things[i % CONCEPTS]], i).data_url for i in range(PICTURES)]
        self._ids: list[str] = []

    async def run(self, deadline: float) -> None:
        """Remembers its things, then does one thing after the other."""
        for i in range(CONCEPTS):
            await self._counted("remember", self._remember(i))
        kinds = [("ask", self._ask), ("stream", self._stream), ("retrieve", self._retrieve), ("edit", self._edit)]
        while time.monotonic() < deadline:
            kind, act = self._rng.choice(kinds)
            await self._counted(kind, act())

    async def _counted(self, kind: str, call) -> None:  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        try:
            answer = await call
            if answer is not None:
                self._tally.errors[f"{kind}: {answer}"] += 1
        except httpx.HTTPError as error:
            self._tally.errors[f"{kind}: {type(error).__name__}"] += 1
        self._tally.seconds[kind].append(time.perf_counter() - started)

    async def _remember(self, i: int) -> str | None:
        body = drawn.concept(f"thing-{i}", self._things[i], i)
        made = await self._http.post(f"/v1/users/{self._user}/concepts", json=body)
        if made.status_code == 201:
            self._ids.append(made.json()["id"])
        return None if made.status_code == 201 else f"{made.status_code} {made.text[:200]}"

    async def _edit(self) -> str | None:
        address = f"/v1/users/{self._user}/concepts/{self._rng.choice(self._ids)}"
        info = f"edited at {time.time_ns()}"
        done = await self._http.patch(address, json={"info": info})
        if done.status_code != 200:
            return f"{done.status_code} {done.text[:200]}"
        return None if (await self._http.get(address)).json()["info"] == info else "stale"

    async def _retrieve(self) -> str | None:
        body = {"image": self._rng.choice(self._pictures)}
        found = await self._http.post(f"/v1/users/{self._user}/retrieve", json=body)
        return None if found.status_code == 200 else f"{found.status_code} {found.text[:200]}"

    async def _ask(self) -> str | None:
        answer = await self._http.post("/v1/chat/completions", json=self._chat(stream=False))
        return None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"

    async def _stream(self) -> str | None:
        async with self._http.stream("POST", "/v1/chat/completions", json=self._chat(stream=True)) as answer:
            body = "".join([text async for text in answer.aiter_text()])
        return None if "[DONE]" in body else f"{answer.status_code} {body[-200:]}"

    def _chat(self, *, stream: bool) -> dict[str, object]:
        picture = {"type": "image_url", "image_url": {"url": self._rng.choice(self._pictures)}}
        content = [picture, {"type": "text", "text": "What is this?"}]
        messages = [{"role": "user", "content": content}]
        return {"model": self._model, "user": self._user, "messages": messages, "stream": stream, "max_tokens": 32}


async def burst(url: str, key: str, *, clients: int, seconds: float) -> dict[str, object]:
    """Runs the clients; the tally."""
    tally = Tally()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False) as http:
        model = (await http.get("/v1/models")).json()["data"][0]["id"]
        workers = [Client(http, i, model, tally) for i in range(clients)]
        started = time.monotonic()
        await asyncio.gather(*(w.run(started + seconds) for w in workers))
        return {"clients": clients, **tally.report(time.monotonic() - started)}


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    service = json.loads((options.home / "service.json").read_text())
    asyncio.run(burst(service["url"], service["api_key"], clients=2, seconds=5))
    before = open_files(options.home)
    report = asyncio.run(burst(service["url"], service["api_key"], clients=options.clients, seconds=options.seconds))
    time.sleep(SETTLE_SECONDS)
    after = open_files(options.home)
    print(json.dumps({**report, "open_files_before": before, "open_files_after": after}, indent=2))


if __name__ == "__main__":
    main()
