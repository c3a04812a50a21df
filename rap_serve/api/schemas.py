"""The bodies that come and go. Unknown fields are refused."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rap_serve.domain.concept import Concept, ConceptVersion, checked_text
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.match import Evidence, RegionCandidates
from rap_serve.services.answer import Task
from rap_serve.services.remember import Lookalike
from rap_serve.services.retrieve import Retrieval

MAX_AVATARS_PER_CALL = 16
MAX_BOXES = 64
MAX_EVIDENCE = 16
MAX_SHARED = 1_000

MAX_KEY_SECONDS = 100 * 366 * 86_400


class Body(BaseModel):
    """A request body, strict about its fields and texts."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _of_whole_characters(cls, fields: Any) -> Any:
        for value in fields.values() if isinstance(fields, dict) else ():
            if isinstance(value, str):
                try:
                    checked_text(value)
                except InvalidInput as error:
                    raise ValueError(str(error)) from error
        return fields


Box = Annotated[list[float], Field(min_length=4, max_length=4, description="x0, y0, x1, y1 in pixels")]


class AvatarBody(Body):
    """A picture of a concept, as a data URL or an https URL."""

    image: str
    box_xyxy: Box | None = None


class ConceptFields(Body):
    """What a concept says, without its pictures."""

    name: str
    category: str = ""
    info: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)


class ConceptBody(ConceptFields):
    """A new concept."""

    avatars: list[AvatarBody] = Field(min_length=1, max_length=MAX_AVATARS_PER_CALL)


class ConceptPatchBody(Body):
    """Changes to a concept; what is absent stays."""

    name: str | None = None
    category: str | None = None
    info: str | None = None
    metadata: dict[str, str] | None = None
    avatars: list[AvatarBody] | None = Field(None, min_length=1, max_length=MAX_AVATARS_PER_CALL)


class RetrieveBody(Body):
    """A picture, a text, or both. ``boxes_xyxy``: regions to use instead of the detector's."""

    image: str | None = None
    text: str = ""
    boxes_xyxy: list[Box] | None = Field(None, max_length=MAX_BOXES)
    top_k: int = Field(5, ge=1, le=100)


class RapOptions(Body):
    """What RAP adds to a chat request."""

    retrieval: bool = True
    top_k: int | None = Field(None, ge=1, le=MAX_EVIDENCE, description="at most this many concepts in the prompt")
    concepts: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MAX_EVIDENCE,
        description=(
            "ids of the only concepts to name; an unknown one is a 404. They enter the prompt as others do, where the "
            "picture shows them rather than another of the user's, or the text names them. Where the service runs "
            "without authorisation they enter it as they are, as far as a prompt holds them."
        ),
    )
    task: Task = "chat"

    @model_validator(mode="after")
    def _concepts_are_retrieved(self) -> Self:
        if self.concepts is not None and not self.retrieval:
            raise ValueError("concepts are retrieved: they do not go with retrieval switched off")
        return self


class TextContent(Body):
    type: Literal["text"]
    text: str


class ImageUrl(Body):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImageContent(Body):
    type: Literal["image_url"]
    image_url: ImageUrl


class MessageBody(Body):
    """One message in OpenAI's form."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Annotated[TextContent | ImageContent, Field(discriminator="type")]]
    name: str | None = None


class StreamOptions(Body):
    """``continuous_usage_stats`` is vLLM's: what was used so far is on every chunk, where usage is wanted at all."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class ChatBody(Body):
    """OpenAI's chat completion request, as far as it is served here."""

    model: str
    messages: list[MessageBody] = Field(min_length=1)
    user: str = "default"
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    stop: Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v or [])] = Field(
        default_factory=list, max_length=4
    )
    n: Literal[1] | None = None
    rap: RapOptions = Field(default_factory=RapOptions)


class CorrectionBody(Body):
    """A picture of something that is not the concept."""

    concept_id: str = Field(max_length=64)
    image: str = Field(description="data URL or https URL")
    box_xyxy: Box | None = None


class ShareBody(Body):
    """Whom to let know what."""

    with_: str = Field(alias="with", description="another user")
    concepts: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, min_length=1, max_length=MAX_SHARED, description="ids; all of the user's, future ones too, where absent"
    )


class LimitsBody(Body):
    """What a tenant may hold and ask for; null is no limit."""

    concepts: int | None = Field(None, ge=0)
    avatars: int | None = Field(None, ge=0)
    bytes: int | None = Field(None, ge=0, description="of pictures")
    requests_per_minute: int | None = Field(None, ge=0)
    tokens_per_minute: int | None = Field(None, ge=0)
    weight: int | None = Field(None, ge=1, le=1_000, description="its share where not all can be served; null is 1")


class TenantBody(Body):
    id: str
    limits: LimitsBody = Field(default_factory=LimitsBody)


class TenantPatchBody(Body):
    limits: LimitsBody | None = None
    state: Literal["active", "suspended"] | None = None


class KeyBody(Body):
    label: str = ""
    scopes: list[Literal["read", "write", "admin"]] = Field(default=["read", "write"], min_length=1)
    expires_in_seconds: float | None = Field(None, gt=0, le=MAX_KEY_SECONDS)


class MoveBody(Body):
    shelf: str = Field(description="a shelf's name; one that no other tenant is on is this tenant's alone")
    grace_seconds: float = Field(60, ge=0, le=86_400, description="how long copies stay where the tenant was")
    pause_seconds: float = Field(0, ge=0, le=60, description="between two users, to leave room for others")


class EmbedderBody(Body):
    version: str = Field(description="of an embedder that runs; GET /admin/v1/embedders lists them")
    grace_seconds: float = Field(86_400, ge=0, le=2_592_000, description="how long the way back stays open")
    pause_seconds: float = Field(0, ge=0, le=60, description="between two batches, to leave room for others")


class RotateBody(Body):
    overlap_seconds: float = Field(86_400, ge=0, le=MAX_KEY_SECONDS, description="how long the old key stays valid")


def concept_json(concept: Concept, lookalikes: Sequence[Lookalike] = ()) -> dict[str, Any]:
    """A concept as clients see it."""
    return {
        "id": concept.id,
        "object": "concept",
        "name": concept.name,
        "category": concept.category,
        "info": concept.info,
        "info_generated": concept.info_generated,
        "metadata": dict(concept.metadata),
        "version": concept.version,
        "created_at": concept.created_at // 1_000,
        "updated_at": concept.updated_at // 1_000,
        "avatars": [{"id": a.id, "box_xyxy": a.box_xyxy and list(a.box_xyxy)} for a in concept.shown],
        "warnings": [
            {
                "code": "lookalike",
                "concept_id": other.concept_id,
                "name": other.name,
                "similarity": round(other.similarity, 4),
            }
            for other in lookalikes
        ],
    }


def version_json(version: ConceptVersion) -> dict[str, Any]:
    """A version of a concept as clients see it."""
    return {
        "object": "concept.version",
        "version": version.version,
        "name": version.name,
        "category": version.category,
        "info": version.info,
        "metadata": dict(version.metadata),
        "avatar_ids": list(version.avatar_ids),
        "updated_at": version.updated_at // 1_000,
    }


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Why a concept was in the prompt."""
    return {
        "concept_id": evidence.concept_id,
        "name": evidence.name,
        "box_xyxy": _rounded(evidence.box_xyxy, 1),
        "similarity": None if evidence.similarity is None else round(evidence.similarity, 4),
        "confidence": None if evidence.confidence is None else round(evidence.confidence, 4),
        "avatar_id": evidence.avatar_id,
        "version": evidence.version,
        "source": evidence.source,
        "shared_by": evidence.shared_by,
    }


def region_json(found: RegionCandidates) -> dict[str, Any]:
    """A region with all its candidates, before any threshold."""
    return {
        "box_xyxy": _rounded(found.region.box_xyxy, 1),
        "label": found.region.label,
        "score": round(found.region.score, 4),
        "candidates": [
            {
                "concept_id": c.concept_id,
                "name": c.name,
                "similarity": round(c.similarity, 4),
                "confidence": round(c.confidence, 4),
                "shared_by": c.shared_by,
            }
            for c in found.candidates
        ],
    }


def rap_json(retrieval: Retrieval) -> dict[str, Any]:
    """The ``rap`` field of an answer."""
    return {
        "evidence": [evidence_json(e) for e in retrieval.evidence],
        "degraded": list(retrieval.degraded),
        "cache": retrieval.cache,
        "timings_ms": retrieval.timings.milliseconds,
    }


def _rounded(numbers: Sequence[float] | None, digits: int) -> list[float] | None:
    return None if numbers is None else [round(n, digits) for n in numbers]
