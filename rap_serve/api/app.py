"""The FastAPI application, made of routes, errors and the gate."""

from fastapi import FastAPI

from rap_serve import __version__
from rap_serve.api import errors
from rap_serve.api.deps import UseCases
from rap_serve.api.gate import Gate, RequestMetrics
from rap_serve.api.routes import chat, concepts, health, retrieve


def create_app(use_cases: UseCases, *, metrics: RequestMetrics, metrics_url: str | None) -> FastAPI:
    """An application over ``use_cases``. ``metrics_url``: where ``/metrics`` finds the node's exporter."""
    app = FastAPI(
        title="rap-serve",
        version=__version__,
        description="Retrieval-augmented personalization of multimodal LLMs, OpenAI-compatible.",
        redirect_slashes=False,
    )
    app.state.use_cases = use_cases
    app.state.metrics_url = metrics_url
    errors.install(app)
    for route in (chat, concepts, retrieve, health):
        app.include_router(route.router)
    app.add_middleware(
        Gate,
        authenticate=use_cases.authenticate,
        body_bytes=use_cases.limits.body_bytes,
        metrics=metrics,
    )
    return app
