"""The gateway's use cases, wired: the one place that says which adapter stands behind which port."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from ray.serve.handle import DeploymentHandle

from rap_serve.adapters.blob_store import FsspecBlobStore
from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.catalogue.audit import SqlAudit
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.jobs import SqlJobs
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.replies import SqlReplies
from rap_serve.adapters.catalogue.shares import SqlShares
from rap_serve.adapters.catalogue.shelves import SqlShelves
from rap_serve.adapters.catalogue.spaces import SqlSpaces
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.catalogue.usage import SqlUsage
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_shelves import ShelvedMemory
from rap_serve.adapters.pictures import PictureLoader
from rap_serve.adapters.rate_limits import LocalRateLimits, RedisRateLimits
from rap_serve.adapters.ray_handle import RayDetector, RayEmbedder, RayMllm, ping
from rap_serve.adapters.redis_cache import RedisCache
from rap_serve.adapters.sealed_blobs import SealedBlobStore
from rap_serve.adapters.sealed_memory import SealedMemory
from rap_serve.adapters.whole_memory import WholeMemory
from rap_serve.adapters.zip_packs import ZipPack, zipped
from rap_serve.api.deps import UseCases
from rap_serve.domain.catalogue import Quotas, RateLimits, Seals
from rap_serve.domain.concept import EmbeddingSpace
from rap_serve.domain.match import AuthorisationPolicy
from rap_serve.domain.pace import Pace
from rap_serve.domain.ports import Cache, Detector, Embedder
from rap_serve.domain.prompt import LAYOUTS
from rap_serve.observability.backlog import BacklogWatch
from rap_serve.observability.metrics import (
    AdmissionMetrics,
    CacheMetrics,
    GatewayMetrics,
    JobMetrics,
    MemoryMetrics,
    MllmMetrics,
)
from rap_serve.observability.stalls import LoopWatch
from rap_serve.observability.traced import TracedDetector, TracedEmbedder, TracedLanes, TracedMllm, noted
from rap_serve.observability.tracing import Tracing
from rap_serve.observability.watched import WatchedCache, WatchedMllm
from rap_serve.observability.watched_memory import WatchedMemory
from rap_serve.services.accept_loss import AcceptLoss
from rap_serve.services.administer import Administer
from rap_serve.services.admit import Admit, Lane, LaneName
from rap_serve.services.answer import Answer
from rap_serve.services.asked import AskedPictures
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.avatars import Avatars
from rap_serve.services.commit import Commit, Recount
from rap_serve.services.describe import Describe
from rap_serve.services.edit import Edit, Forget
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels
from rap_serve.services.enrol import Enrol
from rap_serve.services.erase import Erase, Purge
from rap_serve.services.history import History
from rap_serve.services.household import RecallShared
from rap_serve.services.look import Look
from rap_serve.services.meter import Meter
from rap_serve.services.move import Move, MoveTenant
from rap_serve.services.recall import Recall
from rap_serve.services.reembed import Reembed, StartReembedding
from rap_serve.services.remember import Remember
from rap_serve.services.retrieve import Retrieve
from rap_serve.services.run_jobs import RunJobs
from rap_serve.services.share import ShareConcepts
from rap_serve.services.throttle import Throttle
from rap_serve.services.transfer import Export, Import, StartTransfers
from rap_serve.settings import AuthorisationSettings, LaneSettings, MilvusSettings, Settings, model_path


@dataclass(frozen=True, slots=True)
class Models:
    """The handles of the deployments, and what their weights are called. ``spaces``: those of ``embedders``."""

    detector: DeploymentHandle
    mllm: DeploymentHandle
    embedders: tuple[DeploymentHandle, ...]
    detector_version: str
    spaces: tuple[EmbeddingSpace, ...]


async def wire(settings: Settings, models: Models, metrics: GatewayMetrics, tracing: Tracing) -> UseCases:
    """All of it, ready to serve. Raises Unavailable where the catalogue does not answer."""
    deadline = settings.ingress.deadline_seconds
    detector = _detector(models, deadline, tracing)
    secret = _derived(settings, "engine isolation")
    engine = RayMllm(models.mllm, deadline_seconds=deadline, secret=secret, observer=metrics)
    mllm = WatchedMllm(TracedMllm(engine, tracing) if tracing.on else engine, MllmMetrics())
    database = Database(settings.catalogue.url.get_secret_value())
    owners = SqlOwners(database, master_key=_derived(settings, "data keys"))
    shares, shelves, quotas = SqlShares(database), SqlShelves(database), SqlQuotas(database)
    shelved = ShelvedMemory(shelves, lambda shelf: _shelf(settings.milvus, models.spaces[0], shelf, quotas))
    sealed = SealedMemory(WholeMemory(shelved, quotas), owners, space=models.spaces[0])
    memory = WatchedMemory(sealed, MemoryMetrics(), tracing)
    cache = WatchedCache(_cache(settings, models.spaces, owners), CacheMetrics())
    blobs = SealedBlobStore(FsspecBlobStore(settings.blobs.url), owners)
    pictures = PictureLoader(settings.limits)
    avatars = Avatars(blobs=blobs, pictures=pictures, max_bytes=settings.ingress.cache_bytes // 8)
    asked = AskedPictures(pictures, max_bytes=settings.ingress.cache_bytes // 8)
    spaces = SqlSpaces(database)
    embedding = EmbeddingModels(_embedding_models(settings, models, tracing), spaces)
    await embedding.refresh()
    tenants, usage = SqlTenants(database), SqlUsage(database)
    pepper = _derived(settings, "api keys")
    authenticate = _authenticate(settings, tenants, pepper)
    await authenticate.start()
    meter, replies = Meter(usage), SqlReplies(database, master_key=_derived(settings, "replies"))
    recall = Recall(memory, cache, embedding)
    commit = Commit(cache=cache, quotas=quotas, owners=owners)
    recount = Recount(memory=memory, cache=cache, quotas=quotas)
    fallback = settings.detector.fallback_vocabulary
    jobs, audit = SqlJobs(database), SqlAudit(database)
    enrol = Enrol(detector=detector, models=embedding, blobs=blobs, pictures=pictures, fallback=fallback)
    detector_version = f"{models.detector_version}+{settings.detector.text_encoder}"
    retrieve = Retrieve(
        recall=RecallShared(recall=recall, cache=cache, shares=shares),
        look=Look(detector=detector, detector_version=detector_version, cache=cache, fallback=fallback),
        cache=cache,
        models=embedding,
        policy=_policy(settings.authorisation),
        observe=noted(metrics.retrieval) if tracing.on else metrics.retrieval,
    )

    remember = Remember(
        memory=memory,
        commit=commit,
        recall=recall,
        enrol=enrol,
        describe=Describe(mllm=mllm, pictures=pictures, model=settings.mllm.model_id),
        models=embedding,
        lookalike_confidence=settings.authorisation.lookalike_confidence,
    )
    purge = Purge(
        memory=memory,
        shelves=shelved,
        blobs=blobs,
        cache=cache,
        quotas=quotas,
        replies=replies,
        usage=usage,
        owners=owners,
        shares=shares,
        jobs=jobs,
    )

    def open_pack(archive: bytes) -> ZipPack:
        return ZipPack(archive, picture_bytes=settings.limits.picture_bytes)

    run_jobs = RunJobs(
        jobs,
        {
            "import": Import(blobs=blobs, pictures=pictures, recall=recall, remember=remember, open_pack=open_pack),
            "export": Export(blobs=blobs, pictures=pictures, recall=recall, zipped=zipped),
            "erase-user": purge.user,
            "erase-tenant": purge.tenant,
            "move-tenant": Move(memory=shelved, concepts=memory, owners=owners, cache=cache),
            "re-embed": Reembed(
                memory=memory,
                stored=shelved,
                owners=owners,
                cache=cache,
                enrol=enrol,
                models=embedding,
                spaces=spaces,
            ),
        },
    )

    admission_metrics = TracedLanes(AdmissionMetrics(), tracing) if tracing.on else AdmissionMetrics()

    def lane(name: LaneName, lane: LaneSettings) -> Lane:
        return Lane(
            name,
            pace=Pace(
                least=min(lane.least_slots, lane.slots), most=lane.slots, target_seconds=lane.first_token_seconds
            ),
            places=lane.places,
            wait_seconds=lane.wait_seconds,
            weight=lambda tenant: authenticate.limits(tenant).share,
            metrics=admission_metrics,
        )

    admission = settings.ingress.admission
    admit = Admit(lane("models", admission.models), lane("memory", admission.memory))

    async def check_ready() -> None:
        await asyncio.gather(database.ping(), memory.ping(), ping(models.detector, models.mllm, *models.embedders))

    return UseCases(
        authenticate=authenticate,
        administer=Administer(tenants, pepper=pepper, shelves=settings.milvus.shelves),
        accept_loss=AcceptLoss(memory=shelved, cache=cache, quotas=quotas, audit=audit),
        embedding=embedding,
        reembed=StartReembedding(models=embedding, jobs=jobs, audit=audit),
        move=MoveTenant(shelves=shelves, tenants=tenants, jobs=jobs),
        admit=admit,
        throttle=Throttle(_rate_limits(settings), authenticate.limits),
        meter=meter,
        tenants=tenants,
        quotas=quotas,
        usage=usage,
        audit=audit,
        replies=replies,
        jobs=jobs,
        transfers=StartTransfers(jobs=jobs, blobs=blobs, open_pack=open_pack),
        erase=Erase(cache=cache, owners=owners, shares=shares, tenants=tenants, jobs=jobs),
        background=(
            admit.watch,
            asked.watch,
            authenticate.watch,
            avatars.watch,
            embedding.watch,
            meter.watch,
            recount.watch,
            replies.watch,
            run_jobs.watch,
            BacklogWatch(jobs, JobMetrics()).watch,
            LoopWatch(metrics.late).watch,
            tracing.until_stopped,
        ),
        pictures=pictures,
        asked=asked,
        check_ready=check_ready,
        recall=recall,
        remember=remember,
        edit=Edit(memory=memory, commit=commit, recall=recall, enrol=enrol),
        forget=Forget(memory=memory, commit=commit, enrol=enrol),
        history=History(memory, cache),
        share=ShareConcepts(shares=shares, owners=owners, recall=recall, cache=cache),
        retrieve=retrieve,
        answer=Answer(
            retrieve=retrieve,
            mllm=mllm,
            avatars=avatars,
            layout=LAYOUTS[settings.mllm.prompt_layout],
            model=settings.mllm.model_id,
            constrain_names=settings.mllm.constrain_names,
        ),
        model=settings.mllm.model_id,
        max_tokens=settings.mllm.max_tokens,
        limits=settings.limits,
        deadline_seconds=deadline,
    )


def _cache(settings: Settings, spaces: Sequence[EmbeddingSpace], seals: Seals) -> Cache:
    if settings.redis.url is None:
        return LocalCache(max_bytes=settings.ingress.cache_bytes)
    return RedisCache(
        settings.redis.url.get_secret_value(),
        seals=seals,
        embedder_version="+".join(space.version for space in spaces),
        timeout_seconds=settings.redis.timeout_seconds,
        local_bytes=settings.ingress.cache_bytes,
        sole_gateway=settings.ingress.serve.max_replicas == 1,
    )


def _detector(models: Models, deadline_seconds: float, tracing: Tracing) -> Detector:
    detector = RayDetector(models.detector, deadline_seconds=deadline_seconds)
    return TracedDetector(detector, tracing) if tracing.on else detector


def _embedding_models(settings: Settings, models: Models, tracing: Tracing) -> list[EmbeddingModel]:
    deadline = settings.ingress.deadline_seconds
    running = zip(settings.embedders.values(), models.embedders, models.spaces, strict=True)

    def embedder(handle: DeploymentHandle, space: EmbeddingSpace) -> Embedder:
        embedder = RayEmbedder(handle, deadline_seconds=deadline)
        return TracedEmbedder(embedder, tracing, space) if tracing.on else embedder

    return [
        EmbeddingModel(space, embedder(handle, space), load_calibration(model_path(e.calibration or e.model)))
        for e, handle, space in running
    ]


def _shelf(settings: MilvusSettings, space: EmbeddingSpace, shelf: str, quotas: Quotas) -> MilvusMemory:
    return MilvusMemory(
        uri=settings.uri,
        token=settings.token.get_secret_value(),
        space=space,
        timeout_seconds=settings.timeout_seconds,
        prefix=f"rap_{shelf}" if shelf else "rap",
        counted=quotas.counted,
    )


def _rate_limits(settings: Settings) -> RateLimits:
    if settings.redis.url is None:
        return LocalRateLimits()
    return RedisRateLimits(settings.redis.url.get_secret_value(), timeout_seconds=settings.redis.timeout_seconds)


def _authenticate(settings: Settings, tenants: SqlTenants, pepper: bytes) -> Authenticate:
    operator_key = settings.auth.operator_key
    return Authenticate(
        tenants,
        pepper=pepper,
        keys={tenant: key.get_secret_value() for tenant, key in settings.auth.keys.items()},
        operator_key=operator_key.get_secret_value() if operator_key else None,
        shelves=settings.milvus.shelves,
    )


def _policy(settings: AuthorisationSettings) -> AuthorisationPolicy:
    return AuthorisationPolicy(
        required=settings.required,
        false_accept_rate=settings.false_accept_rate,
        further_false_accept_rate=settings.further_false_accept_rate,
        max_evidence=settings.max_evidence,
    )


def _derived(settings: Settings, purpose: str) -> bytes:
    """A key for one purpose, the same on every gateway, known to none outside."""
    secret = settings.auth.secret.get_secret_value()
    return hmac.new(secret.encode(), f"rap-serve {purpose}".encode(), hashlib.sha256).digest()
