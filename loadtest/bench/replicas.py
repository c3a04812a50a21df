"""What four replicas of the MLLM answer that one does not: throughput at saturation, the engine simulated.

    python -m loadtest.bench.replicas --replicas 1 4 --out replicas.json

Closed loop: so many questions under way at once that every slot of every replica is taken. The model's time is slept;
router, handles, picture protocol and replicas are the service's own, on one machine.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.bench.simulated_mllm import Asker, Outcome, Traffic, mllm_settings, own_ray
from loadtest.simulated.engine import Costs
from loadtest.simulated.routers import ROUTERS
from rap_serve.domain.chat import Sampling
from rap_serve.domain.ports import Mllm
from rap_serve.domain.prompt import LAYOUTS

CROWD = 2
"""Questions under way per slot."""


async def answered(mllm: Mllm, asker: Asker, *, clients: int, seconds: float) -> float:
    """Answers a second over ``seconds``, after a warm-up of a third as long."""
    counted, began = 0, time.monotonic()

    async def client() -> None:
        nonlocal counted
        while time.monotonic() < began + 4 / 3 * seconds:
            owner, turn = asker.next()
            async for _ in mllm.stream([turn], Sampling(), model="simulated", owner=owner, request_id="bench"):
                pass
            counted += began + seconds / 3 <= time.monotonic() < began + 4 / 3 * seconds

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return counted / seconds


def measured(router: str, replicas: int, traffic: Traffic, costs: Costs) -> dict[str, object]:
    """Fresh replicas, and as many clients as fill them."""
    from ray import serve

    from loadtest.simulated.mllm import build_simulated
    from rap_serve.adapters.ray_handle import RayMllm

    cell = f"{router}-{replicas}"  # Ray gives the same handle, and with it the same router, for the same name
    handle = serve.run(build_simulated(mllm_settings(replicas, costs), costs=costs, router=router), name=cell)
    mllm = RayMllm(handle, deadline_seconds=300, secret=b"bench", observer=Outcome())
    asker, clients = Asker(traffic, LAYOUTS["rap"], seed=0), CROWD * replicas * costs.slots
    rate = asyncio.run(answered(mllm, asker, clients=clients, seconds=traffic.seconds))
    serve.delete(cell)
    return {"router": router, "replicas": replicas, "clients": clients, "answers_per_second": round(rate, 2)}


def main() -> None:
    """Parses the command line; prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--routers", nargs="+", default=["owner"], choices=ROUTERS)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--reuse", type=float, default=0.5)
    parser.add_argument("--home", default="/tmp/rap-bench-replicas")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    traffic, rows = Traffic(reuse=options.reuse, rate=0, seconds=options.seconds), []
    with own_ray(options.home):
        for router in options.routers:
            one: float | None = None
            for replicas in options.replicas:
                row = measured(router, replicas, traffic, Costs())
                rate = float(str(row["answers_per_second"]))
                one = one or rate
                rows.append({**row, "times_the_first": round(rate / one, 2)})
    table = Table("router", "replicas", "clients", "answers / s", "times the first")
    for row in rows:
        table.add_row(*map(str, row.values()))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    Console(width=120).print(table)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
