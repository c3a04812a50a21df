"""How replicas of the MLLM are chosen: ours against Ray's, at several shares of repeated pictures.

    python -m loadtest.bench.routing --rate 10 --seconds 30 --out routing.json

The engine is simulated (``loadtest.simulated``) with a cache of encodings and of prompts in each replica; router,
handles, picture protocol and replicas are the service's own. Arrivals are Poisson, owners Zipf. Each router gets the
same requests and fresh replicas. Each engine is warm after a quarter of the time, which is not counted.
"""

import argparse
import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.bench.simulated_mllm import METRICS_SECONDS, Asker, Outcome, Traffic, driven, mllm_settings, own_ray
from loadtest.simulated.engine import Costs
from loadtest.simulated.routers import ROUTERS
from loadtest.simulated.work import work_by_replica
from rap_serve.domain.prompt import LAYOUTS


def measured(
    metrics_url: str, router: str, traffic: Traffic, *, replicas: int, layout: str, seed: int
) -> dict[str, object]:
    """One cell: fresh replicas behind one router, one traffic."""
    from ray import serve

    from loadtest.simulated.mllm import build_simulated
    from rap_serve.adapters.ray_handle import RayMllm

    costs = Costs()
    # Ray gives the same handle, and with it the same router, for the same name.
    cell = f"{router}-{layout}-{traffic.reuse}"
    handle = serve.run(build_simulated(mllm_settings(replicas, costs), costs=costs, router=router), name=cell)
    earlier = set(work_by_replica(metrics_url))
    outcome = Outcome()
    mllm = RayMllm(handle, deadline_seconds=120, secret=b"bench", observer=outcome)
    asyncio.run(driven(mllm, Asker(traffic, LAYOUTS[layout], seed), traffic, outcome, seed=seed))
    time.sleep(3 * METRICS_SECONDS)
    works = [work for replica, work in work_by_replica(metrics_url).items() if replica not in earlier]
    serve.delete(cell)
    tokens = [w.prompt_tokens for w in works]
    return {
        "router": router,
        "layout": layout,
        **asdict(traffic),
        **outcome.figures(),
        "picture_hits": round(1 - sum(w.encodings for w in works) / sum(w.pictures for w in works), 3),
        "token_hits": round(sum(w.held_tokens for w in works) / sum(tokens), 3),
        "balance": round(max(tokens) * replicas / sum(tokens), 2),
    }


def shown(rows: list[dict[str, object]]) -> Table:
    """The figures as a table."""
    table = Table(
        "reuse", "layout", "router", "TTFT p50", "p99", "pictures held", "tokens held", "busiest / mean", "sent"
    )
    for row in rows:
        ttft = row["ttft_ms"]
        assert isinstance(ttft, dict)
        cells = (row["reuse"], row["layout"], row["router"], ttft["p50"], ttft["p99"], row["picture_hits"])
        table.add_row(*map(str, (*cells, row["token_hits"], row["balance"], row["pictures_sent"])))
    return table


def main() -> None:
    """Parses the command line; prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--rate", type=float, default=10, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--reuse", type=float, nargs="+", default=[0.0, 0.5, 0.8])
    parser.add_argument("--routers", nargs="+", default=list(ROUTERS), choices=ROUTERS)
    parser.add_argument("--layouts", nargs="+", default=["rap"], choices=LAYOUTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", default="/tmp/rap-bench-routing")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    with own_ray(options.home) as metrics_url:
        for reuse in options.reuse:
            traffic = Traffic(reuse=reuse, rate=options.rate, seconds=options.seconds)
            for layout in options.layouts:
                for router in options.routers:
                    row = measured(
                        metrics_url, router, traffic, replicas=options.replicas, layout=layout, seed=options.seed
                    )
                    rows.append(row)
                    if options.out:
                        options.out.write_text(json.dumps(rows, indent=1))
    Console(width=140).print(shown(rows))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
