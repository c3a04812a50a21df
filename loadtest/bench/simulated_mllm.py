"""Replicas of the simulated engine behind Ray Serve, and traffic for them as gateways make it."""

import asyncio
import io
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from deployments.local import prepare_environment
from loadtest.simulated.engine import Costs
from rap_serve.cli.process import free_port
from rap_serve.cli.scoring import percentiles
from rap_serve.domain.chat import Sampling
from rap_serve.domain.concept import Owner
from rap_serve.domain.ports import Mllm
from rap_serve.domain.prompt import ConceptBlock, ImagePart, ImageRef, Layout, Turn
from rap_serve.settings import MllmSettings, ServeSettings

METRICS_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Who asks what. ``reuse``: the share of questions about a picture that the owner has asked about before.

    ``zipf``: how unequal owners are. ``remembered``: the last pictures of an owner that may come again.
    """

    reuse: float
    rate: float
    seconds: float
    owners: int = 100
    zipf: float = 1.1
    concepts: int = 4
    remembered: int = 6


@dataclass(slots=True)
class Outcome:
    """Of the requests after the warm-up."""

    first_token_ms: list[float] = field(default_factory=list)
    sent: int = 0
    spared: int = 0
    resent: int = 0

    def pictures(self, sent: int, spared: int) -> None:
        """See PictureObserver."""
        self.sent += sent
        self.spared += spared

    def pictures_lacking(self) -> None:
        """See PictureObserver."""
        self.resent += 1

    def figures(self) -> dict[str, object]:
        """As the tables have them."""
        return {
            "ttft_ms": percentiles(self.first_token_ms),
            "pictures_sent": round(self.sent / max(1, self.sent + self.spared), 3),
            "prompts_resent": self.resent,
        }


class Asker:
    """Draws requests from a traffic; the same ones for the same seed."""

    def __init__(self, traffic: Traffic, layout: Layout, seed: int) -> None:
        self._traffic = traffic
        self._layout = layout
        self._rng = random.Random(seed)
        weights = [1 / (rank + 1) ** traffic.zipf for rank in range(traffic.owners)]
        self._owners = self._rng.choices(range(traffic.owners), weights, k=100_000)
        self._seen: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        self._images = [_image(n) for n in range(16)]
        self._asked = 0

    def next(self) -> tuple[Owner, Turn]:
        """Who asks next, and what."""
        owner = self._owners[self._asked]
        self._asked += 1
        seen = self._seen.setdefault(owner, [])
        if seen and self._rng.random() < self._traffic.reuse:
            name, concepts = self._rng.choice(seen)
        else:
            shown = self._rng.sample(range(self._traffic.concepts), k=self._rng.choice((1, 2, 3)))
            name, concepts = f"picture {owner} {self._asked}", tuple(sorted(shown))
            seen.append((name, concepts))
            del seen[: -self._traffic.remembered]
        blocks = [
            ConceptBlock(f"thing-{c}", f"Thing {c} of owner {owner}.", self._ref(f"avatar {owner} {c}"))
            for c in concepts
        ]
        return Owner("bench", f"o{owner}"), Turn("user", self._layout(self._ref(name), blocks, "What is this?"))

    def _ref(self, name: str) -> ImageRef:
        async def load() -> ImagePart:
            return self._images[len(name) % len(self._images)]

        return ImageRef(name, load)


async def driven(mllm: Mllm, asker: Asker, traffic: Traffic, outcome: Outcome, *, seed: int) -> None:
    """Open loop, Poisson arrivals; the first quarter of the time is warm-up and not counted."""
    rng, began = random.Random(seed), time.monotonic()
    due = began
    async with asyncio.TaskGroup() as group:
        while (due := due + rng.expovariate(traffic.rate)) < began + traffic.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            owner, turn = asker.next()
            counted = due > began + traffic.seconds / 4
            group.create_task(_asked(mllm, owner, turn, outcome if counted else None))


async def _asked(mllm: Mllm, owner: Owner, turn: Turn, outcome: Outcome | None) -> None:
    began, first = time.monotonic(), None
    async for _ in mllm.stream([turn], Sampling(), model="simulated", owner=owner, request_id="bench"):
        first = first or time.monotonic()
    if outcome is not None and first is not None:
        outcome.first_token_ms.append(1_000 * (first - began))


@contextmanager
def own_ray(home: str) -> Iterator[str]:
    """A Ray with Serve for one run; gives the address of its metrics."""
    prepare_environment(Path(home))
    os.environ.setdefault("RAY_metrics_report_interval_ms", str(int(1_000 * METRICS_SECONDS)))
    import ray
    from ray import serve

    from deployments.local_service import start_ray

    port = free_port()
    start_ray(port)
    serve.start()
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        serve.shutdown()
        ray.shutdown()


def mllm_settings(replicas: int, costs: Costs) -> MllmSettings:
    """Of a simulated deployment."""
    serve = ServeSettings(
        min_replicas=replicas, max_replicas=replicas, num_cpus=0.1, max_ongoing_requests=8 * costs.slots
    )
    return MllmSettings(model_id="simulated", source="simulated", serve=serve)


def _image(seed: int) -> ImagePart:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG", quality=60)
    return ImagePart(out.getvalue())
