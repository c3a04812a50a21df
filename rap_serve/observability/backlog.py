"""How much work waits for a gateway to take it, looked at every now and then."""

import asyncio
import contextlib

from rap_serve.domain.catalogue import Jobs
from rap_serve.domain.errors import Unavailable
from rap_serve.observability.metrics import JobMetrics

LOOK_SECONDS = 5.0
"""Twice within what Ray collects at once; a gauge that was not set meanwhile would be missing from it."""


class BacklogWatch:
    """Asks the catalogue; every gateway tells the same."""

    def __init__(self, jobs: Jobs, metrics: JobMetrics) -> None:
        self._jobs = jobs
        self._metrics = metrics

    async def watch(self) -> None:
        """Keeps looking; for ever."""
        while True:
            with contextlib.suppress(Unavailable):
                self._metrics.backlog(await self._jobs.backlog())
            await asyncio.sleep(LOOK_SECONDS)
