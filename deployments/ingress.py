"""The gateway: one FastAPI application over the use cases, built inside the replica."""

import asyncio
import hashlib
import hmac

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from rap_serve.adapters.blob_store import FsspecBlobStore
from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.pictures import PictureLoader
from rap_serve.adapters.ray_handle import RayDetector, RayEmbedder, RayMllm, ping
from rap_serve.adapters.redis_cache import RedisCache
from rap_serve.api.app import create_app
from rap_serve.api.deps import UseCases
from rap_serve.domain.match import AuthorisationPolicy
from rap_serve.domain.ports import Cache
from rap_serve.domain.prompt import LAYOUTS
from rap_serve.observability.logging import configure_logging
from rap_serve.observability.metrics import GatewayMetrics
from rap_serve.services.answer import Answer
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.describe import Describe
from rap_serve.services.edit import Edit, Forget
from rap_serve.services.enrol import Enrol
from rap_serve.services.history import History
from rap_serve.services.look import Look
from rap_serve.services.recall import Recall
from rap_serve.services.remember import Remember
from rap_serve.services.retrieve import Retrieve
from rap_serve.settings import Settings, model_path


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
        """The application; waits until the embedder can say what it is."""
        embedder_version, dim = await self._embedder.version_and_dim.remote()
        detector_version = await self._detector.version.remote()
        metrics = GatewayMetrics()
        models = "+".join((detector_version, self._settings.detector.text_encoder, embedder_version))
        use_cases = self._use_cases(embedder_version, dim, models, metrics)
        return create_app(use_cases, metrics=metrics, metrics_url=self._settings.ingress.metrics_url)

    def _use_cases(self, embedder_version: str, dim: int, models: str, metrics: GatewayMetrics) -> UseCases:
        settings = self._settings
        deadline = settings.ingress.deadline_seconds
        detector = RayDetector(self._detector, deadline_seconds=deadline)
        embedder = RayEmbedder(self._embedder, deadline_seconds=deadline)
        mllm = RayMllm(self._mllm, deadline_seconds=deadline, secret=_secret(settings))
        memory = MilvusMemory(
            uri=settings.milvus.uri,
            token=settings.milvus.token.get_secret_value(),
            dim=dim,
            embedder_version=embedder_version,
            timeout_seconds=settings.milvus.timeout_seconds,
        )
        cache = _cache(settings, embedder_version)
        blobs = FsspecBlobStore(settings.blobs.url)
        pictures = PictureLoader(settings.limits)
        calibration = load_calibration(model_path(settings.embedder.calibration or settings.embedder.model))
        recall = Recall(memory, cache)

        async def check_ready() -> None:
            await asyncio.gather(memory.ping(), ping(self._detector, self._embedder, self._mllm))

        fallback = settings.detector.fallback_vocabulary
        enrol = Enrol(detector=detector, embedder=embedder, blobs=blobs, pictures=pictures, fallback=fallback)
        retrieve = Retrieve(
            recall=recall,
            look=Look(detector=detector, embedder=embedder, cache=cache, models=models, fallback=fallback),
            cache=cache,
            calibration=calibration,
            policy=AuthorisationPolicy(
                required=settings.authorisation.required,
                false_accept_rate=settings.authorisation.false_accept_rate,
                further_false_accept_rate=settings.authorisation.further_false_accept_rate,
                max_evidence=settings.authorisation.max_evidence,
            ),
            observe=metrics.retrieval,
        )
        return UseCases(
            authenticate=Authenticate({t: k.get_secret_value() for t, k in settings.auth.keys.items()}),
            pictures=pictures,
            check_ready=check_ready,
            recall=recall,
            remember=Remember(
                memory=memory,
                cache=cache,
                recall=recall,
                enrol=enrol,
                describe=Describe(mllm=mllm, pictures=pictures, model=settings.mllm.model_id),
                calibration=calibration,
                lookalike_confidence=settings.authorisation.lookalike_confidence,
            ),
            edit=Edit(memory=memory, cache=cache, recall=recall, enrol=enrol),
            forget=Forget(memory=memory, cache=cache, enrol=enrol),
            history=History(memory, cache),
            retrieve=retrieve,
            answer=Answer(
                retrieve=retrieve,
                mllm=mllm,
                blobs=blobs,
                pictures=pictures,
                layout=LAYOUTS[settings.mllm.prompt_layout],
                model=settings.mllm.model_id,
                constrain_names=settings.mllm.constrain_names,
            ),
            model=settings.mllm.model_id,
            max_tokens=settings.mllm.max_tokens,
            limits=settings.limits,
        )


def _cache(settings: Settings, embedder_version: str) -> Cache:
    if settings.redis.url is None:
        return LocalCache(max_bytes=settings.ingress.cache_bytes)
    return RedisCache(
        settings.redis.url.get_secret_value(),
        embedder_version=embedder_version,
        timeout_seconds=settings.redis.timeout_seconds,
        local_bytes=settings.ingress.cache_bytes,
        sole_gateway=settings.ingress.serve.max_replicas == 1,
    )


def _secret(settings: Settings) -> bytes:
    """A key for what separates owners inside the engine: the same on every gateway, known to none outside."""
    keys = "".join(sorted(k.get_secret_value() for k in settings.auth.keys.values()))
    return hmac.new(b"rap-serve engine isolation", keys.encode(), hashlib.sha256).digest()
