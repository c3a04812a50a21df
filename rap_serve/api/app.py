"""The FastAPI application, made of routes, errors and the gate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI

from rap_serve import __version__
from rap_serve.api import errors
from rap_serve.api.deps import ApiMetrics, UseCases
from rap_serve.api.gate import Gate
from rap_serve.api.replay import Replay
from rap_serve.api.routes import admin, chat, concepts, corrections, health, jobs, retrieve, shares, usage
from rap_serve.services.timings import Timings


def create_app(
    use_cases: UseCases, *, metrics: ApiMetrics, metrics_url: str | None, timings: Callable[[], Timings] = Timings
) -> FastAPI:
    """An application over ``use_cases``. ``metrics_url``: where ``/metrics`` finds the node's exporter.

    ``timings``: fresh ones for each request.
    """
    app = FastAPI(
        title="rap-serve",
        version=__version__,
        description="Retrieval-augmented personalization of multimodal LLMs, OpenAI-compatible.",
        redirect_slashes=False,
        lifespan=lambda _: _running(use_cases),
    )
    app.state.use_cases = use_cases
    app.state.metrics = metrics
    app.state.metrics_url = metrics_url
    errors.install(app)
    for route in (chat, concepts, corrections, jobs, retrieve, shares, usage, admin, health):
        app.include_router(route.router)
    app.add_middleware(Replay, replies=use_cases.replies)
    app.add_middleware(  # the last added comes first
        Gate,
        authenticate=use_cases.authenticate,
        throttle=use_cases.throttle,
        admit=use_cases.admit,
        body_bytes=use_cases.limits.body_bytes,
        archive_bytes=use_cases.limits.archive_bytes,
        deadline_seconds=use_cases.deadline_seconds,
        metrics=metrics,
        timings=timings,
    )
    return app


@contextlib.asynccontextmanager
async def _running(use_cases: UseCases) -> AsyncIterator[None]:
    """What goes on beside the requests; what was counted last is written down at the end."""
    tasks = [asyncio.create_task(work()) for work in use_cases.background]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await use_cases.meter.flush()
