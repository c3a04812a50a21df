"""How soon the slot of a client that went away is somebody else's.

    eval "$(python -m loadtest.endless --out /tmp/endless)"; rap up --home .rap
    python -m loadtest.bench.disconnects --home .rap --times 20

The engine works at one answer at a time, and an answer takes many seconds. A client asks for a long one and goes away;
the next client's first token says when the slot was free. ``idle_ms`` is what that token takes on a free engine.

``stream``: left in the middle of a stream. ``whole``: left while waiting for an answer in one piece. ``queued``: left
while waiting for the slot, which is then left too. ``retrieval``: left with a new picture, before the engine is asked.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from loadtest import drawn
from loadtest.endless import LONGEST_TOKENS

LEAVING_SECONDS = 0.5
RETRIEVAL_SECONDS = (0.01, 0.15)
SETTLED_SECONDS = 0.3
RANDOM = 1.5
"""Of what a small model is sure of, some is no text at all."""

QUESTION = "Tell me everything there is to tell."


class Clients:
    """Those who come and go; each has a connection of its own, which is closed as it leaves."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._pictures = 0

    def first_token_ms(self) -> float:
        """What a short question takes until its first token, from now."""
        began = time.perf_counter()
        with self._client(60) as client, self._asked(client, stream=True, max_tokens=1) as answer:
            _first_piece(answer)
            return 1_000 * (time.perf_counter() - began)

    def leave_stream(self) -> None:
        """Reads the beginning of a long answer."""
        with self._client(60) as client, self._asked(client, stream=True) as answer:
            _first_piece(answer)

    def leave_whole(self) -> None:
        """Waits a while for a long answer in one piece."""
        self._impatient(LEAVING_SECONDS, stream=False)

    def leave_queued(self) -> None:
        """Waits for a slot that another client holds; then both leave, the one who waited first."""
        with self._client(60) as client, self._asked(client, stream=True) as answer:
            held = _first_piece(answer)
            self._impatient(LEAVING_SECONDS, stream=True)
            next(held)

    def leave_retrieval(self) -> None:
        """Leaves while its picture, a new one each time, is looked at."""
        self._pictures += 1
        picture = drawn.scene([drawn.thing(self._pictures % 50)], time.time_ns() % 1_000_000_000)
        self._impatient(random.uniform(*RETRIEVAL_SECONDS), stream=False, picture=picture.data_url)

    def _impatient(self, seconds: float, *, stream: bool, picture: str | None = None) -> None:
        try:
            with self._client(seconds) as client, self._asked(client, stream=stream, picture=picture) as answer:
                answer.read()
        except httpx.ReadTimeout:
            return

    def _client(self, seconds: float) -> httpx.Client:
        return httpx.Client(base_url=self._url, headers=self._headers, timeout=seconds, trust_env=False)

    def _asked(
        self, client: httpx.Client, *, stream: bool, max_tokens: int = LONGEST_TOKENS, picture: str | None = None
    ) -> AbstractContextManager[httpx.Response]:
        content: list[dict[str, object]] = [{"type": "text", "text": QUESTION}]
        if picture is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": picture}})
        body = {
            "model": "rap-tiny",
            "user": "disconnects",
            "stream": stream,
            "max_tokens": max_tokens,
            "temperature": RANDOM,
            "messages": [{"role": "user", "content": content}],
        }
        return client.stream("POST", "/v1/chat/completions", json=body)


def _first_piece(answer: httpx.Response) -> Iterator[str]:
    """The stream behind its first words, which ends where this is let go; the line before them says who speaks."""
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.read().decode()}")
    lines = (line for line in answer.iter_lines() if line)
    next(lines), next(lines)
    return lines


def measured(clients: Clients, leave: Callable[[], None], times: int) -> list[float]:
    """Milliseconds from each leaving to the next client's first token."""
    values = []
    for _ in range(times):
        leave()
        values.append(clients.first_token_ms())
        time.sleep(SETTLED_SECONDS)
    return values


def summary(values: list[float]) -> dict[str, float]:
    """Percentiles and the worst."""
    shares = {f"p{share}": round(float(np.percentile(values, share)), 1) for share in (50, 90, 99)}
    return {**shares, "max": round(max(values), 1), "n": len(values)}


def run(url: str, key: str, *, times: int) -> dict[str, dict[str, float]]:
    """All kinds of leaving, each ``times`` times."""
    clients = Clients(url, key)
    remember_something(url, key)
    clients.first_token_ms()
    figures = {"idle_ms": summary([clients.first_token_ms() for _ in range(times)])}
    kinds = {
        "stream": clients.leave_stream,
        "whole": clients.leave_whole,
        "queued": clients.leave_queued,
        "retrieval": clients.leave_retrieval,
    }
    for name, leave in kinds.items():
        figures[f"{name}_ms"] = summary(measured(clients, leave, times))
    return figures


def remember_something(url: str, key: str) -> None:
    """A concept, without which no picture is looked at."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        made = client.post("/v1/users/disconnects/concepts", json=drawn.concept("bo", drawn.thing(1), 1))
        if made.status_code not in (201, 409):
            raise RuntimeError(made.text)


def table(figures: dict[str, dict[str, float]]) -> Table:
    """The figures, for people."""
    shown = Table("left", "p50 ms", "p90", "p99", "max", "n", title="From leaving to the next client's first token")
    for name, row in figures.items():
        shown.add_row(name.removesuffix("_ms"), *(str(row[k]) for k in ("p50", "p90", "p99", "max", "n")))
    return shown


def main() -> None:
    """Parses the command line and prints JSON, and a table for people on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    service = json.loads((options.home / "service.json").read_text())
    figures = run(service["url"], service["api_key"], times=options.times)
    Console(stderr=True).print(table(figures))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
