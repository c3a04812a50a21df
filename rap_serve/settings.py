"""All that an operator can set: a profile file, then the environment (``RAP_<GROUP>__<FIELD>``).

Read once, at the composition root, and handed down in parts.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rap_serve.domain.errors import InvalidInput

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PROFILES = PROJECT_ROOT / "deployments" / "profiles"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ServeSettings(_Group):
    """How one deployment is run by Ray Serve.

    ``target_ongoing_requests``: calls per replica, waiting ones too, from which more replicas are wanted.
    ``target_latency_seconds``: what a call may take before more are wanted; for deployments that tell what calls take.
    ``look_back_seconds``: over which both are averaged. ``upscale_delay_seconds`` and ``downscale_delay_seconds``: how
    long more, or one fewer, must be wanted before it happens. ``max_surge_percent``: how many more replicas may run
    while they are exchanged; with 0 the old ones go first. ``graceful_shutdown_seconds``: how long a replica that
    goes may take to finish what it has begun; longer than the longest answer. ``resources``: Ray's, by name, that only
    the machines meant for these replicas offer.
    """

    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(1, ge=1)
    num_cpus: float = 0.1
    num_gpus: float = 0.0
    resources: dict[str, float] = Field(default_factory=dict)
    max_ongoing_requests: int = Field(32, ge=1)
    max_queued_requests: int = Field(256, ge=-1)
    target_ongoing_requests: float = Field(8.0, gt=0)
    target_latency_seconds: float | None = Field(None, gt=0)
    look_back_seconds: float = Field(20.0, gt=0)
    upscale_delay_seconds: float = Field(5.0, ge=0)
    downscale_delay_seconds: float = Field(120.0, ge=0)
    max_surge_percent: int = Field(0, ge=0, le=100)
    health_check_period_seconds: float = 5.0
    health_check_timeout_seconds: float = 30.0
    graceful_shutdown_seconds: float = 65.0


class BatchSettings(_Group):
    """How single calls are gathered into one forward pass.

    ``max_size``: pictures for a detector, crops for an embedder. ``wait_seconds``: the longest that a batch for an idle
    model is gathered where there is no core for it; otherwise such a model waits for nobody.
    """

    max_size: int = Field(8, ge=1)
    wait_seconds: float = Field(0.25, ge=0)


class AuthSettings(_Group):
    """Who is let in, besides the keys that are issued at run time.

    ``secret``: under which keys are hashed, the same on every gateway and for ever. ``operator_key``: opens
    ``/admin/v1``. ``keys``: ``{tenant: key}``, each with all scopes; these tenants are made where they do not exist.
    """

    secret: SecretStr = SecretStr("")
    operator_key: SecretStr | None = None
    keys: dict[str, SecretStr] = Field(default_factory=dict)


class CatalogueSettings(_Group):
    """Tenants, keys, quotas, usage: a SQL database, ``sqlite:///file`` or ``postgresql+psycopg://...``."""

    url: SecretStr = SecretStr("sqlite:///.rap/catalogue.sqlite3")


class MilvusSettings(_Group):
    """The concept memory. ``embedded``: the service runs a Milvus Lite server of its own at ``uri``.

    ``shelves``: how many sets of collections new tenants are spread over.
    """

    uri: str = "http://127.0.0.1:19530"
    token: SecretStr = SecretStr("")
    embedded: bool = True
    timeout_seconds: float = 20.0
    shelves: int = Field(1, ge=1, le=100)


class RedisSettings(_Group):
    """The shared cache; without a URL each gateway keeps its own."""

    url: SecretStr | None = None
    timeout_seconds: float = 0.1


class BlobSettings(_Group):
    """Where pictures are kept: a directory, or any URL that fsspec understands."""

    url: str = ".rap/blobs"


class DetectorSettings(_Group):
    """``text_encoder``: folder or open_clip name of the text tower whose features the weights expect."""

    weights: str
    text_encoder: str
    text_encoder_pretrained: str | None = None
    image_size: int = 320
    confidence: float = 0.1
    max_regions: int = 12
    iou: float = 0.6
    fallback_vocabulary: tuple[str, ...] = ("object",)
    device: str = "cpu"
    threads: int | None = None
    batch: BatchSettings = BatchSettings()
    serve: ServeSettings = ServeSettings()


class EmbedderSettings(_Group):
    """``model``: a folder in open_clip's layout, or an architecture name with ``pretrained``.

    ``calibration``: a file of measured similarities; a folder brings its own.
    """

    model: str
    pretrained: str | None = None
    calibration: str | None = None
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    device: str = "cpu"
    threads: int | None = None
    batch: BatchSettings = BatchSettings(max_size=32)
    serve: ServeSettings = ServeSettings()


class MllmSettings(_Group):
    """The model that answers, as vLLM and ``ray.serve.llm`` take it.

    ``constrain_names``: an answer can hold no ``<name>`` but those of its evidence, by guided decoding. For models
    that write names in brackets; others could then not write a bracket at all.
    ``picture_bytes``: what each replica holds of decoded pictures, so that they need not be sent to it again; one that
    was not used for ``picture_seconds`` goes.
    """

    model_id: str
    source: str
    prompt_layout: Literal["rap", "chat"] = "rap"
    constrain_names: bool = False
    max_tokens: int = 256
    accelerator_type: str | None = None
    engine: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    picture_bytes: int = 256_000_000
    picture_seconds: float = 3_600
    serve: ServeSettings = ServeSettings(num_cpus=1)


class AuthorisationSettings(_Group):
    """What it takes to be named; see ``rap_serve.domain.match.AuthorisationPolicy``.

    ``required``: off lets in whatever resembles a region most, which is how a bare retriever is measured.
    ``lookalike_confidence``: from which a new concept is reported to pass for another.
    """

    required: bool = True
    false_accept_rate: float = Field(0.02, gt=0, lt=1)
    further_false_accept_rate: float = Field(0.03, gt=0, lt=1)
    max_evidence: int = Field(6, ge=1)
    lookalike_confidence: float = Field(0.9, gt=0, le=1)


class LimitSettings(_Group):
    """What a request may cost before it is refused."""

    body_bytes: int = 16_000_000
    archive_bytes: int = 256_000_000
    picture_bytes: int = 10_000_000
    picture_pixels: int = 50_000_000
    picture_side_px: int = 1_280
    messages: int = 64
    text_characters: int = 16_000
    fetch_seconds: float = 5.0


class LaneSettings(_Group):
    """Requests that need the same, at one gateway; see ``rap_serve.services.admit``.

    ``slots``: how many are under way at most, a new picture's chat counting twice. ``places``: how many may wait, and
    ``wait_seconds`` for how long. ``first_token_seconds``: steers the slots, down to ``least_slots``; fixed without.
    """

    slots: int = Field(32, ge=1)
    least_slots: int = Field(4, ge=1)
    places: int = Field(128, ge=1)
    wait_seconds: float = Field(1.0, gt=0)
    first_token_seconds: float | None = Field(None, gt=0)


class AdmissionSettings(_Group):
    """``models``: what asks a model, writes with pictures included. ``memory``: all else that users do."""

    models: LaneSettings = LaneSettings()
    memory: LaneSettings = LaneSettings(slots=64)

    @property
    def requests(self) -> int:
        """How many may be under way and wait at one gateway."""
        return sum(lane.slots + lane.places for lane in (self.models, self.memory))


class IngressSettings(_Group):
    """The gateway. ``metrics_url``: where Ray exports its metrics on this node.

    ``deadline_seconds``: how long a request may take at most; it can give itself less.
    """

    metrics_url: str | None = None
    cache_bytes: int = 256_000_000
    deadline_seconds: float = 60.0
    admission: AdmissionSettings = AdmissionSettings()
    serve: ServeSettings = ServeSettings(max_ongoing_requests=512, max_queued_requests=1024)


class TracingSettings(_Group):
    """Spans for OpenTelemetry. ``endpoint``: a collector that takes OTLP over HTTP, ``http://host:4318``; none without.

    ``sample_ratio``: the share of requests that are recorded, 0 to 1. What a client sends changes nothing about it.
    """

    endpoint: str | None = Field(None, pattern="^https?://")
    sample_ratio: float = Field(0.1, ge=0, le=1)


NO_TRACING = TracingSettings()


class Settings(BaseSettings):
    """The whole configuration of one cluster.

    ``next_embedder``: runs beside ``embedder`` while everything is embedded anew; see ``rap admin re-embed``.
    """

    model_config = SettingsConfigDict(
        env_prefix="RAP_", env_nested_delimiter="__", frozen=True, extra="forbid", protected_namespaces=()
    )

    auth: AuthSettings = AuthSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    milvus: MilvusSettings = MilvusSettings()
    redis: RedisSettings = RedisSettings()
    blobs: BlobSettings = BlobSettings()
    detector: DetectorSettings
    embedder: EmbedderSettings
    next_embedder: EmbedderSettings | None = None
    mllm: MllmSettings
    authorisation: AuthorisationSettings = AuthorisationSettings()
    limits: LimitSettings = LimitSettings()
    ingress: IngressSettings = IngressSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def embedders(self) -> dict[str, EmbedderSettings]:
        """Those that run, by what their deployments' names begin with."""
        following = {} if self.next_embedder is None else {"Next": self.next_embedder}
        return {"": self.embedder, **following}

    @classmethod
    def load(cls, profile: str) -> "Settings":
        """The settings of ``profile``: a name under ``deployments/profiles`` or the path of a file.

        Raises InvalidInput where there is no such profile.
        """
        path = Path(profile) if profile.endswith((".yaml", ".yml")) else PROFILES / f"{profile}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
            raise InvalidInput(f"There is no profile {profile!r}; known: {known}, or the path of a YAML file.")

        return cls(**(yaml.safe_load(path.read_text()) or {}))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the profile, field by field."""
        return env_settings, init_settings


def model_path(location: str) -> str:
    """``location`` as an absolute path where it is a file or folder of the project, unchanged otherwise."""
    path = PROJECT_ROOT / location
    return str(path) if path.exists() else location
