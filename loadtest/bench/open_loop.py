"""Requests that come when they come: Poisson arrivals, and how many were answered in time.

    python -m loadtest.bench.open_loop --home .rap --rates 2 4 8 --out out/bench

A request counts towards goodput where its first token came within ``--ttft-ms`` and the following ones took
``--tpot-ms`` each on average. Clients do not wait for each other, so that a service that falls behind is found out.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.bench import figures
from loadtest.bench.asked import Album, Asked
from loadtest.bench.closed_loop import Served, ask, percentiles, session
from loadtest.bench.served import Service, service

CONNECTIONS = 1_000


def token_seconds(answer: Served) -> float:
    """Between one token and the next, on average."""
    return (answer.seconds - answer.first_seconds) / max(answer.completion_tokens - 1, 1)


async def arrivals(
    running: Service, user: str, pictures: Sequence[Asked], *, rate: float, seconds: float, rng: np.random.Generator
) -> tuple[list[Served], float]:
    """All answers to what came within ``seconds``, and how long until the last was there."""
    moments = np.cumsum(rng.exponential(1 / rate, size=int(2 * rate * seconds) + 10))
    moments = moments[moments < seconds]
    async with session(running.url, running.key, CONNECTIONS) as http:
        began = time.perf_counter()

        async def one(place: int, moment: float) -> Served:
            await asyncio.sleep(began + moment - time.perf_counter())
            return await ask(http, place, pictures[place % len(pictures)].body(user, stream=True))

        answers = await asyncio.gather(*(one(i, float(m)) for i, m in enumerate(moments)))
        return list(answers), time.perf_counter() - began


def summary(answers: Sequence[Served], took: float, options: argparse.Namespace) -> dict[str, Any]:
    """Rates and percentiles of one rate of arrivals."""
    good = [a for a in answers if a.ok]
    in_time = [
        a for a in good if 1_000 * a.first_seconds <= options.ttft_ms and 1_000 * token_seconds(a) <= options.tpot_ms
    ]
    return {
        "requests": len(answers),
        "errors": len(answers) - len(good),
        "requests_per_s": round(len(good) / took, 2),
        "goodput_per_s": round(len(in_time) / took, 2),
        "in_time": round(len(in_time) / max(len(answers), 1), 3),
        "ttft_ms": percentiles([a.first_seconds for a in good]),
        "tpot_ms": percentiles([token_seconds(a) for a in good]),
        "whole_ms": percentiles([a.seconds for a in good]),
    }


async def measured(running: Service, options: argparse.Namespace) -> dict[str, Any]:
    """Every rate, each with pictures of its own."""
    album, user = Album(options.concepts), f"bench-{time.time_ns()}"
    with running.client() as http:
        album.remembered(http, user)
    rng = np.random.default_rng(0)
    await arrivals(running, user, album.pictures(4, seed=1), rate=2, seconds=3, rng=rng)
    found = {}
    for number, rate in enumerate(options.rates, 2):
        pictures = album.pictures(options.pictures, seed=number)
        answers, took = await arrivals(running, user, pictures, rate=rate, seconds=options.seconds, rng=rng)
        found[f"{rate:g}/s"] = summary(answers, took, options)
    return found


def draw(report: dict[str, Any], folder: Path) -> None:
    """Throughput and goodput by rate of arrivals."""
    rates = [key for key in report if key != "ran"]
    with figures.sheet(folder, "open_loop") as axes:
        offered = [float(r.removesuffix("/s")) for r in rates]
        for what in ("requests_per_s", "goodput_per_s"):
            axes.plot(offered, [report[r][what] for r in rates], marker="o", label=what)
        axes.plot(offered, offered, linestyle=":", color="grey", label="offered")
        axes.set_xlabel("arrivals a second")
        axes.set_ylabel("a second")
        axes.legend()


def main() -> None:
    """Parses the command line, measures, writes ``open_loop.json`` and ``open_loop.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--concepts", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=40, help="different ones at each rate, then they repeat")
    parser.add_argument("--rates", type=float, nargs="+", default=[2.0, 4.0, 8.0, 16.0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of arrivals at each rate")
    parser.add_argument("--ttft-ms", type=float, default=1_000.0)
    parser.add_argument("--tpot-ms", type=float, default=100.0)
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    with service(options.home) as running:
        report: dict[str, Any] = {"ran": ran, **asyncio.run(measured(running, options))}
    figures.write(options.out, "open_loop", report)
    draw(report, options.out)
    rows = [
        (
            key,
            *(r[k] for k in ("requests", "errors", "requests_per_s", "goodput_per_s", "in_time")),
            *(f"{r[k].get('p50')} / {r[k].get('p99')}" for k in ("ttft_ms", "tpot_ms")),
        )
        for key, r in report.items()
        if key != "ran"
    ]
    columns = ("arrivals", "n", "errors", "req/s", "goodput/s", "in time", "TTFT p50/p99", "TPOT p50/p99")
    figures.show(f"open loop; TTFT {options.ttft_ms:g} ms, TPOT {options.tpot_ms:g} ms", columns, rows)


if __name__ == "__main__":
    main()
