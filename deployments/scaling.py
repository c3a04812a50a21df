"""Ray Serve's autoscaling by our rule: what a replica tells, and what the controller makes of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.serve.config import AutoscalingContext

from rap_serve.domain.scaling import Load, RecentMean, Targets, wanted_replicas

LATENCY = "latency_seconds"


class QueueAndLatency:
    """A policy in the controller. Bounds are the deployment's, and so are the delays that Ray puts on its wishes."""

    def __init__(self, target_ongoing: float, target_latency_seconds: float | None = None) -> None:
        self._targets = Targets(ongoing=target_ongoing, latency_seconds=target_latency_seconds)

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The replicas wanted; nothing has to be remembered."""
        told = [v for v in (context.aggregated_metrics or {}).get(LATENCY, {}).values() if v > 0]
        load = Load(
            running=context.current_num_replicas,
            target=context.target_num_replicas,
            ongoing=context.total_num_requests,
            latency_seconds=sum(told) / len(told) if told else 0.0,
        )
        least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
        return wanted_replicas(load, self._targets, at_least=least, at_most=most), {}


class Latency:
    """What a replica's calls take, as it is told to the policy."""

    def __init__(self) -> None:
        self._recent = RecentMean()

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Counts what runs inside, if it comes to its end."""
        began = time.monotonic()
        yield
        now = time.monotonic()
        self._recent.add(now - began, now=now)

    def stats(self) -> dict[str, float]:
        """For ``record_autoscaling_stats``."""
        return {LATENCY: self._recent.value(now=time.monotonic())}
