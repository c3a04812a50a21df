"""A new concept: checked as a whole, then stored as a whole."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rap_serve.domain.concept import (
    MAX_AVATARS,
    Concept,
    Owner,
    checked_category,
    checked_info,
    checked_metadata,
    checked_name,
    fold_name,
    new_ulid,
)
from rap_serve.domain.errors import Conflict, Forbidden, InvalidInput, NameTaken, NotFound
from rap_serve.domain.library import Library
from rap_serve.domain.match import Calibration
from rap_serve.domain.ports import ConceptMemory
from rap_serve.domain.tenancy import holdings
from rap_serve.services.commit import Commit
from rap_serve.services.describe import Describe
from rap_serve.services.enrol import AvatarDraft, Enrol
from rap_serve.services.recall import Recall


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConceptDraft:
    """What a caller says of a concept. Without ``info`` the MLLM describes the first avatar."""

    name: str
    avatars: tuple[AvatarDraft, ...]
    category: str = ""
    info: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lookalike:
    """Another concept of the owner's that the new one could be taken for."""

    concept_id: str
    name: str
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """The stored concept, and what its owner should know."""

    concept: Concept
    lookalikes: tuple[Lookalike, ...]


class Remember:
    """Stores concepts. When it returns, the concept is durable and the owner's next request sees it."""

    def __init__(
        self,
        *,
        memory: ConceptMemory,
        commit: Commit,
        recall: Recall,
        enrol: Enrol,
        describe: Describe,
        calibration: Calibration,
        lookalike_confidence: float,
    ) -> None:
        self._memory = memory
        self._commit = commit
        self._recall = recall
        self._enrol = enrol
        self._describe = describe
        self._calibration = calibration
        self._lookalike_confidence = lookalike_confidence

    async def __call__(self, owner: Owner, draft: ConceptDraft) -> Remembered:
        """Raises InvalidInput, NameTaken, QuotaExceeded, Overloaded or Unavailable; then nothing is kept."""
        name, category = checked_name(draft.name), checked_category(draft.category)
        info, metadata = checked_info(draft.info), checked_metadata(draft.metadata)
        _check_avatars(draft)
        library = await self._recall(owner)
        if any(c.folded_name == fold_name(name) for c in library.concepts):
            raise NameTaken(f"There is already a concept named {name!r}; edit it, or choose another name.")
        avatars = await self._enrol(owner, draft.avatars, category)
        told = info or await self._describe(owner, draft.avatars[0].picture, avatars[0])
        now = time.time_ns() // 1_000_000
        concept = Concept(
            id=new_ulid(now_ms=now),
            owner=owner,
            name=name,
            category=category,
            info=told,
            info_generated=not info and bool(told),
            metadata=metadata,
            version=1,
            created_at=now,
            updated_at=now,
            avatars=avatars,
        )
        try:
            async with self._commit(owner, holdings([concept])) as write:
                write.moment = await self._memory.put(concept, expected_version=None, after=write.after)
        except (Conflict, NotFound, Forbidden):
            await self._enrol.discard(owner, avatars)
            raise
        return Remembered(concept, self._lookalikes(concept, library))

    def _lookalikes(self, concept: Concept, library: Library) -> tuple[Lookalike, ...]:
        """The most similar other concept, where the two would pass for one."""
        if not library.concepts:
            return ()
        similarities, _ = library.similarities(Library.of([concept], dim=library.matrix.shape[1]).matrix)
        nearest = int(similarities.max(axis=0).argmax())
        similarity = float(similarities[:, nearest].max())
        if self._calibration.confidence(similarity) < self._lookalike_confidence:
            return ()
        other = library.concepts[nearest]
        return (Lookalike(other.id, other.name, similarity),)


def _check_avatars(draft: ConceptDraft) -> None:
    if not 1 <= len(draft.avatars) <= MAX_AVATARS:
        raise InvalidInput(f"A concept has 1 to {MAX_AVATARS} avatars.")
