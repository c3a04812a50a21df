"""The service's answers, as far as commands read them."""

from typing import Any, TypedDict


class EvidenceJson(TypedDict):
    """Why a concept was in the prompt."""

    concept_id: str
    name: str
    version: int
    source: str
    box_xyxy: list[float] | None
    similarity: float | None
    confidence: float | None
    shared_by: str | None


class CandidateJson(TypedDict):
    """A concept that a region may show."""

    concept_id: str
    name: str
    similarity: float
    confidence: float
    shared_by: str | None


class RegionJson(TypedDict):
    """A box and its candidates, best first."""

    box_xyxy: list[float]
    label: str
    score: float
    candidates: list[CandidateJson]


class RapJson(TypedDict):
    """What an answer rests on."""

    evidence: list[EvidenceJson]
    degraded: list[str]
    cache: str
    timings_ms: dict[str, float]


class RetrievalJson(RapJson):
    """What a picture shows."""

    regions: list[RegionJson]


class ConceptJson(TypedDict):
    """A stored concept."""

    id: str
    name: str
    category: str
    info: str
    version: int
    avatars: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
