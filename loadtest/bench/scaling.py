"""Replicas that come under load and go after it, by the service's own policy, and what becomes of the streams.

    python -m loadtest.bench.scaling --load-seconds 30

A cheap deployment streams answers of two seconds. ``clients`` ask without a pause until the load ends, one goes on
until the replicas are as few as before. ``cut``: streams that ended early; ``failed``: calls that raised.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, field

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from rich.console import Console
from rich.table import Table

from deployments.options import serve_options
from loadtest.local_ray import local_ray
from rap_serve.settings import ServeSettings

PIECES = 20
PAUSE_SECONDS = 0.1
NAME = "scaling"
OFTEN = {
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
}
"""How often load is told; the default is every ten seconds."""

SETTINGS = ServeSettings(
    max_replicas=3,
    num_cpus=0.1,
    max_ongoing_requests=8,
    target_ongoing_requests=2,
    look_back_seconds=2,
    upscale_delay_seconds=1,
    downscale_delay_seconds=3,
    graceful_shutdown_seconds=20,
)


class Worker:
    """Answers in pieces, and costs nothing."""

    async def __call__(self) -> AsyncGenerator[int, None]:
        for piece in range(PIECES):
            yield piece
            await asyncio.sleep(PAUSE_SECONDS)


@dataclass(slots=True)
class Figures:
    """What was seen. ``replicas``: how many ran, with the seconds at which that changed."""

    answers: int = 0
    failed: int = 0
    cut: int = 0
    replicas: list[tuple[float, int]] = field(default_factory=list)

    @property
    def counts(self) -> list[int]:
        return [count for _, count in self.replicas]


def running() -> int:
    """Replicas that answer."""
    application = serve.status().applications[NAME]
    return sum(int(d.replica_states.get("RUNNING", 0)) for d in application.deployments.values())


async def client(handle: DeploymentHandle, figures: Figures, done: asyncio.Event) -> None:
    """One answer after another."""
    while not done.is_set():
        try:
            pieces = [piece async for piece in handle.options(stream=True).remote()]
        except (RayError, RayServeException):
            figures.failed += 1
            continue
        figures.answers += 1
        figures.cut += pieces != list(range(PIECES))


async def watch(figures: Figures, loaded: asyncio.Event, done: asyncio.Event) -> None:
    """Notes when the number of replicas changes; done once the load is over and one is left."""
    began = time.monotonic()
    while not done.is_set():
        count = await asyncio.to_thread(running)
        if not figures.replicas or figures.replicas[-1][1] != count:
            figures.replicas.append((round(time.monotonic() - began, 1), count))
        if loaded.is_set() and count == 1:
            done.set()
        await asyncio.sleep(0.2)


async def scaled(handle: DeploymentHandle, *, clients: int, load_seconds: float, calm_seconds: float) -> Figures:
    """Load, then calm: until one replica is left, or for ``calm_seconds`` at most."""
    figures, loaded, done = Figures(), asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(client(handle, figures, loaded)) for _ in range(clients - 1)]
    tasks += [asyncio.create_task(client(handle, figures, done)), asyncio.create_task(watch(figures, loaded, done))]
    await asyncio.sleep(load_seconds)
    loaded.set()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), calm_seconds)
    done.set()
    await asyncio.gather(*tasks)
    return figures


def deployed() -> DeploymentHandle:
    """The deployment, under the service's policy."""
    return serve.run(serve.deployment(Worker, **serve_options(SETTINGS)).bind(), name=NAME, route_prefix=None)


def main() -> None:
    """Parses the command line and prints JSON, and a table for people on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--load-seconds", type=float, default=30)
    parser.add_argument("--calm-seconds", type=float, default=120)
    options = parser.parse_args()
    with local_ray(environment=OFTEN):
        figures = asyncio.run(
            scaled(
                deployed(),
                clients=options.clients,
                load_seconds=options.load_seconds,
                calm_seconds=options.calm_seconds,
            )
        )
    shown = Table("second", "replicas", title=f"{figures.answers} answers, {figures.failed} failed, {figures.cut} cut")
    for second, count in figures.replicas:
        shown.add_row(str(second), str(count))
    Console(stderr=True).print(shown)
    print(json.dumps(asdict(figures), indent=1))


if __name__ == "__main__":
    main()
