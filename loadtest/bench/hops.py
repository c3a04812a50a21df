"""Where a request's time goes, hop by hop, at one client and at many, as the service's own clocks say.

    python -m loadtest.bench.hops --home .rap --out out/bench

Streamed answers, of pictures never seen ("new") and seen before ("again"). The hops of a request add up to what its
client waited for, so that their means add up to the mean:

- ``ingress``: from the request's headers at the gateway to its route, less the key: body, parsing, validation
- ``key``: the key and the tenant's rate
- ``decode``: the picture
- ``memory``, ``cache``, ``detector``, ``embedder``, ``match``: the retrieval; its ``own`` is what is none of these
- ``prompt``: avatars are fetched, and all of it is put together
- ``admission``: from the gateway's call to the engine's replica, and the first token's way back
- ``first token``: in that replica
- ``HTTP``: what of the client's wait for the first token the gateway did not see: connection, proxy, events
- ``further tokens``: from the first token to the last
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.bench import figures
from loadtest.bench.asked import Album, Asked
from loadtest.bench.closed_loop import Served, Window, drive
from loadtest.bench.served import Service, service

CASES = ("new", "again")
STEPS = {
    "key": "key",
    "decode": "decode",
    "memory": "memory",
    "cache": "cache",
    "detect": "detector",
    "embed": "embedder",
    "match": "match",
}
"""The service's name of a step that is a hop as it is, and ours."""

RETRIEVAL = ("memory", "cache", "detect", "embed", "match")


def hops(answer: Served) -> dict[str, float]:
    """Milliseconds by hop, in the order in which they come."""
    spent: Mapping[str, float] = answer.rap["timings_ms"]
    steps = {hop: spent.get(step, 0.0) for step, hop in STEPS.items()}
    own = spent["total"] - sum(spent.get(step, 0.0) for step in RETRIEVAL)
    engine, waited = spent["engine"], spent["first_token"]
    seen = spent["arrival"] + spent["decode"] + spent["total"] + spent["prompt"] + waited
    return {
        "HTTP": 1_000 * answer.first_seconds - seen,
        "ingress": spent["arrival"] - spent["key"],
        **steps,
        "own": own,
        "prompt": spent["prompt"],
        "admission": waited - engine,
        "first token": engine,
        "further tokens": 1_000 * (answer.seconds - answer.first_seconds),
    }


def summary(answers: Sequence[Served]) -> dict[str, dict[str, float]]:
    """Mean and median of every hop."""
    rows = [hops(a) for a in answers]
    return {
        hop: {
            "mean_ms": round(float(np.mean([r[hop] for r in rows])), 2),
            "p50_ms": round(float(np.median([r[hop] for r in rows])), 2),
        }
        for hop in rows[0]
    }


async def measured(running: Service, options: argparse.Namespace) -> dict[str, Any]:
    """Every number of clients, new pictures and the same again."""
    album, user = Album(options.concepts), f"bench-{time.time_ns()}"
    with running.client() as http:
        album.remembered(http, user)
    seeds = itertools.count(1)

    async def window(pictures: Sequence[Asked], concurrency: int) -> Window:
        bodies = ((i, p.body(user, stream=True)) for i, p in enumerate(pictures))
        driven = {"concurrency": concurrency, "seconds": 600.0, "meter": running.meter()}
        return await drive(running.url, running.key, bodies, **driven)

    await window(album.pictures(8, seed=next(seeds)), 4)
    found: dict[str, Any] = {}
    for concurrency in options.concurrency:
        pictures = album.pictures(options.pictures, seed=next(seeds))
        for case in CASES:
            done = await window(pictures, concurrency)
            found[f"{case}, {concurrency}"] = {**done.figures(), "hops": summary(done.good)}
    return found


def draw(report: Mapping[str, Any], folder: Path) -> None:
    """Stacked bars, one for each number of clients and case."""
    bars = [key for key in report if key != "ran"]
    with figures.sheet(folder, "hops", size_inches=(9.0, 1.2 + 0.8 * len(bars))) as axes:
        left = np.zeros(len(bars))
        names = list(report[bars[0]]["hops"])
        for number, hop in enumerate(names):
            width = np.array([report[b]["hops"][hop]["mean_ms"] for b in bars])
            share = width / np.array([sum(h["mean_ms"] for h in report[b]["hops"].values()) for b in bars])
            drawn = axes.barh(bars, 100 * share, left=100 * left, color=_colour(number), label=hop)
            axes.bar_label(drawn, [hop if s > 0.08 else "" for s in share], label_type="center", fontsize=7)
            left += share
        axes.set_xlabel("% of what the client waits for")
        axes.set_xlim(0, 100)
        axes.invert_yaxis()
        axes.legend(ncols=7, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.25))


def _colour(number: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab20"](number % 20)


def main() -> None:
    """Parses the command line, measures, writes ``hops.json`` and ``hops.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--concepts", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=100, help="for each figure")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    with service(options.home) as running:
        report: dict[str, Any] = {"ran": ran, **asyncio.run(measured(running, options))}
    figures.write(options.out, "hops", report)
    draw(report, options.out)
    bars = [key for key in report if key != "ran"]
    rows = [
        (hop, *(f"{report[b]['hops'][hop]['mean_ms']:.1f} ({report[b]['hops'][hop]['p50_ms']:.1f})" for b in bars))
        for hop in report[bars[0]]["hops"]
    ]
    figures.show("mean milliseconds (median) by hop: pictures, clients", ("hop", *bars), rows)


if __name__ == "__main__":
    main()
