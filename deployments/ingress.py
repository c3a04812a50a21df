"""The gateway: one FastAPI application over the use cases, built inside the replica."""

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.use_cases import Models, wire
from rap_serve.api.app import create_app
from rap_serve.observability.logging import configure_logging
from rap_serve.observability.metrics import GatewayMetrics
from rap_serve.settings import Settings


@serve.ingress()
class IngressDeployment:
    """Holds the handles of the models; everything else it needs is in the settings."""

    def __init__(
        self, settings: Settings, detector: DeploymentHandle, embedder: DeploymentHandle, mllm: DeploymentHandle
    ) -> None:
        configure_logging()
        self._settings = settings
        self._detector = detector
        self._embedder = embedder
        self._mllm = mllm

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """The application; waits until the models can say what they are."""
        embedder_version, dim = await self._embedder.version_and_dim.remote()
        detector_version = await self._detector.version.remote()
        models = Models(self._detector, self._embedder, self._mllm, detector_version, embedder_version, dim)
        metrics = GatewayMetrics()
        use_cases = await wire(self._settings, models, metrics)
        return create_app(use_cases, metrics=metrics, metrics_url=self._settings.ingress.metrics_url)
