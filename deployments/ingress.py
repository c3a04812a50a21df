"""The gateway: one FastAPI application over the use cases, built inside the replica."""

from functools import partial

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.use_cases import Models, wire
from rap_serve.api.app import create_app
from rap_serve.domain.concept import EmbeddingSpace
from rap_serve.observability.logging import configure_logging
from rap_serve.observability.metrics import GatewayMetrics
from rap_serve.observability.traced import TracedTimings
from rap_serve.observability.traced_http import TracedHttp
from rap_serve.observability.tracing import Tracing
from rap_serve.services.timings import Timings
from rap_serve.settings import Settings


@serve.ingress()
class IngressDeployment:
    """Holds the handles of the models; everything else it needs is in the settings."""

    def __init__(
        self, settings: Settings, detector: DeploymentHandle, mllm: DeploymentHandle, *embedders: DeploymentHandle
    ) -> None:
        configure_logging()
        self._settings = settings
        self._detector = detector
        self._embedders = embedders
        self._mllm = mllm

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """The application; waits until the models can say what they are."""
        spaces = [EmbeddingSpace(*await embedder.version_and_dim.remote()) for embedder in self._embedders]
        detector_version = await self._detector.version.remote()
        models = Models(self._detector, self._mllm, self._embedders, detector_version, tuple(spaces))
        metrics, tracing = GatewayMetrics(), Tracing.of(self._settings.tracing, "rap-gateway")
        use_cases = await wire(self._settings, models, metrics, tracing)
        timings = partial(TracedTimings, tracing) if tracing.on else Timings
        url = self._settings.ingress.metrics_url
        app = create_app(use_cases, metrics=metrics, metrics_url=url, timings=timings)
        if tracing.on:
            app.add_middleware(TracedHttp, tracing=tracing)
        return app
