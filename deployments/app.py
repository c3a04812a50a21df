"""The composition root: settings in, application graph out."""

from collections.abc import Callable
from typing import TypeAlias

from ray import serve
from ray.serve import Application, Deployment

from deployments.detector import DetectorDeployment
from deployments.embedder import EmbedderDeployment
from deployments.ingress import IngressDeployment
from deployments.options import serve_options
from rap_serve.domain.errors import InvalidInput
from rap_serve.settings import MllmSettings, ServeSettings, Settings, TracingSettings

BuildMllm: TypeAlias = Callable[[MllmSettings, TracingSettings], Application]


def build(settings: Settings, mllm: BuildMllm) -> Application:
    """The whole service; what is not in ``settings`` is not configurable.

    ``mllm``: ``deployments.mllm.build_mllm``, or what stands in for it where load is tested without an engine.
    Raises InvalidInput for a combination that could not keep its promises.
    """
    if settings.ingress.serve.max_replicas > 1 and settings.redis.url is None:
        raise InvalidInput("Several gateways need redis.url: without it each would cache what others change.")
    if not settings.auth.secret.get_secret_value():
        raise InvalidInput("Set auth.secret (RAP_AUTH__SECRET) to a long random text, once and for ever.")
    for serving in (settings.ingress.serve, settings.mllm.serve):
        if serving.graceful_shutdown_seconds <= settings.ingress.deadline_seconds:
            raise InvalidInput("Set graceful_shutdown_seconds of ingress and mllm above ingress.deadline_seconds.")
    if settings.ingress.admission.requests >= settings.ingress.serve.max_ongoing_requests:
        raise InvalidInput(
            "ingress.serve.max_ongoing_requests must be above all slots and places of ingress.admission."
        )
    tracing = settings.tracing
    detector = _deployment(DetectorDeployment, settings.detector.serve).bind(settings.detector, tracing)
    embedders = [
        _deployment(EmbedderDeployment, embedder.serve, prefix).bind(embedder, tracing)
        for prefix, embedder in settings.embedders.items()
    ]
    gateway = _deployment(IngressDeployment, settings.ingress.serve)
    return gateway.bind(settings, detector, mllm(settings.mllm, tracing), *embedders)


def _deployment(shell: type, settings: ServeSettings, prefix: str = "") -> Deployment:
    return serve.deployment(shell, name=prefix + shell.__name__, **serve_options(settings))
