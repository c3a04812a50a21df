"""A new concept: checked as a whole, then stored as a whole."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rap_serve.domain.catalogue import Attempt
from rap_serve.domain.concept import (
    MAX_AVATARS,
    Avatar,
    Concept,
    Owner,
    checked_category,
    checked_info,
    checked_metadata,
    checked_name,
    fold_name,
    new_ulid,
)
from rap_serve.domain.errors import (
    NOTHING_WRITTEN,
    Conflict,
    InvalidInput,
    NotFound,
    Overloaded,
    QuotaExceeded,
    RapError,
    Unavailable,
    Unwritten,
    name_taken,
)
from rap_serve.domain.library import Library
from rap_serve.domain.ports import ConceptMemory
from rap_serve.domain.tenancy import holdings
from rap_serve.services.commit import Commit
from rap_serve.services.describe import Describe
from rap_serve.services.embedding import EmbeddingModels
from rap_serve.services.enrol import AvatarDraft, Enrol
from rap_serve.services.recall import Recall

DESCRIBED_AT_ONCE = 32


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


Outcome: TypeAlias = Concept | Literal["unchanged"] | RapError
"""What came of one draft out of many."""


@dataclass(frozen=True, slots=True, eq=False)
class ConceptBatch:
    """Concepts that were made and are to be stored. ``epoch``: the owner's, of before they were made."""

    owner: Owner
    epoch: int
    outcomes: Sequence[Outcome]


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
        models: EmbeddingModels,
        lookalike_confidence: float,
    ) -> None:
        self._memory = memory
        self._commit = commit
        self._recall = recall
        self._enrol = enrol
        self._describe = describe
        self._models = models
        self._lookalike_confidence = lookalike_confidence

    async def __call__(self, owner: Owner, draft: ConceptDraft, attempt: Attempt | None = None) -> Remembered:
        """Raises InvalidInput, NameTaken, QuotaExceeded, Erased, Overloaded or Unavailable; then nothing is kept,
        but where it is Unavailable and nobody knows whether the write has happened.

        ``attempt``: which one this is where the request has an idempotency key.
        """
        epoch = await self._commit.epoch(owner)
        library = await self._recall(owner)
        if (done := _made_by(attempt, library)) is not None:
            return Remembered(done, self._lookalikes(done, library))
        name = checked_name(draft.name)
        if any(c.folded_name == fold_name(name) for c in library.concepts):
            raise name_taken(name)
        concept = await self._made(owner, draft, attempt)
        try:
            async with self._commit(owner, holdings([concept]), epoch=epoch) as write:
                write.moment = await self._memory.put(concept, expected_version=None, after=write.after)
        except NOTHING_WRITTEN:
            await self._enrol.discard(owner, concept.avatars)
            raise
        return Remembered(concept, self._lookalikes(concept, library))

    async def made(self, owner: Owner, drafts: Sequence[ConceptDraft], *, known: Mapping[str, Concept]) -> ConceptBatch:
        """The concepts of drafts, none of them stored yet. Raises Unavailable, Overloaded.

        ``known``: the owner's concepts by folded name. A draft that says what one of them says leaves it unchanged.
        """
        epoch = await self._commit.epoch(owner)
        met = [_foreseen(draft, known) for draft in drafts]
        new = [draft for draft, outcome in zip(drafts, met, strict=True) if outcome is None]
        enrolled = await self._enrol.each(owner, [(draft.avatars, checked_category(draft.category)) for draft in new])
        room = asyncio.Semaphore(DESCRIBED_AT_ONCE)

        async def made(draft: ConceptDraft, avatars: tuple[Avatar, ...] | RapError) -> Outcome:
            if isinstance(avatars, RapError):
                return avatars
            try:
                async with room:
                    return await self._concept(owner, draft, avatars, None)
            except (Unavailable, Overloaded):
                raise
            except RapError as error:
                await self._enrol.discard(owner, avatars)
                return error

        fresh = iter(await asyncio.gather(*map(made, new, enrolled)))
        return ConceptBatch(owner, epoch, [next(fresh) if outcome is None else outcome for outcome in met])

    async def stored(self, batch: ConceptBatch, *, known: Mapping[str, Concept]) -> Sequence[Outcome]:
        """What came of each draft, in as few writes as can be. Raises Unavailable, Overloaded.

        ``known``: the owner's concepts by now.
        """
        made = [o for o in batch.outcomes if isinstance(o, Concept)]
        met = {c.id: _met(known[c.folded_name], c) for c in made if c.folded_name in known}
        await self._enrol.discard(batch.owner, (a for c in made if c.id in met for a in c.avatars))
        refused = await self._stored(batch.owner, [c for c in made if c.id not in met], batch.epoch)
        return [{**met, **refused}.get(o.id, o) if isinstance(o, Concept) else o for o in batch.outcomes]

    async def _stored(self, owner: Owner, concepts: Sequence[Concept], epoch: int) -> dict[str, RapError]:
        """Why which of them could not be stored. What does not fit a quota as a whole is tried by halves."""
        if not concepts:
            return {}
        refused: dict[str, RapError] = {}
        try:
            async with self._commit(owner, holdings(concepts), epoch=epoch) as write:
                taken, write.moment = await self._memory.add(owner, concepts, after=write.after)
                write.amounts = holdings(c for c in concepts if c.id not in taken)
            refused = {c.id: name_taken(c.name) for c in concepts if c.id in taken}
        except QuotaExceeded as error:
            if len(concepts) > 1:
                middle = len(concepts) // 2
                first = await self._stored(owner, concepts[:middle], epoch)
                return first | await self._stored(owner, concepts[middle:], epoch)
            refused = {concepts[0].id: error}
        except Unwritten:
            await self._enrol.discard(owner, (a for c in concepts for a in c.avatars))
            raise
        except (Conflict, NotFound) as error:
            refused = {c.id: error for c in concepts}
        await self._enrol.discard(owner, (a for c in concepts if c.id in refused for a in c.avatars))
        return refused

    async def _described(self, owner: Owner, draft: ConceptDraft, avatars: Sequence[Avatar]) -> str:
        """What the MLLM says of the first picture that shows it."""
        shown = next(i for i, avatar in enumerate(avatars) if avatar.shows)
        return await self._describe(owner, draft.avatars[shown].picture, avatars[shown])

    async def _made(self, owner: Owner, draft: ConceptDraft, attempt: Attempt | None) -> Concept:
        """The concept of a draft, its pictures stored; it is not."""
        _check(draft)
        avatars = await self._enrol(owner, draft.avatars, checked_category(draft.category))
        try:
            return await self._concept(owner, draft, avatars, attempt)
        except RapError:
            await self._enrol.discard(owner, avatars)
            raise

    async def _concept(
        self, owner: Owner, draft: ConceptDraft, avatars: tuple[Avatar, ...], attempt: Attempt | None
    ) -> Concept:
        info = checked_info(draft.info)
        told = info or await self._described(owner, draft, avatars)
        now = time.time_ns() // 1_000_000
        return Concept(
            id=attempt.write_id if attempt else new_ulid(now_ms=now),
            owner=owner,
            name=checked_name(draft.name),
            category=checked_category(draft.category),
            info=told,
            info_generated=not info and bool(told),
            metadata=checked_metadata(draft.metadata),
            version=1,
            created_at=now,
            updated_at=now,
            avatars=avatars,
            write_id=attempt.write_id if attempt else "",
        )

    def _lookalikes(self, concept: Concept, library: Library) -> tuple[Lookalike, ...]:
        """The most similar other concept, where the two would pass for one."""
        if not library.concepts:
            return ()
        similarities, _ = library.similarities(Library.of([concept], library.space).matrix)
        nearest = int(similarities.max(axis=0).argmax())
        similarity = float(similarities[:, nearest].max())
        if self._models.of(library.space).calibration.confidence(similarity) < self._lookalike_confidence:
            return ()
        other = library.concepts[nearest]
        return (Lookalike(other.id, other.name, similarity),)


def _made_by(attempt: Attempt | None, library: Library) -> Concept | None:
    """What an earlier attempt has made already, before its gateway died, whatever became of it since."""
    if attempt is None or attempt.number == 1:
        return None
    return next((c for c in library.concepts if c.id == attempt.write_id), None)


def _met(concept: Concept, draft: ConceptDraft | Concept) -> Literal["unchanged"] | RapError:
    """What comes of a draft whose name is the concept's: nothing, if it says the same, as far as it says anything."""
    same = (
        concept.category == checked_category(draft.category)
        and (not draft.info or concept.info == draft.info)
        and dict(concept.metadata) == dict(draft.metadata)
    )
    return "unchanged" if same else name_taken(draft.name)


def _foreseen(draft: ConceptDraft, known: Mapping[str, Concept]) -> Outcome | None:
    """What comes of a draft before anything is made of it; None where something can be made."""
    try:
        other = known.get(fold_name(checked_name(draft.name)))
        if other is not None:
            return _met(other, draft)
        _check(draft)
    except RapError as error:
        return error
    return None


def _check(draft: ConceptDraft) -> None:
    """Raises InvalidInput."""
    checked_name(draft.name)
    checked_category(draft.category)
    checked_info(draft.info)
    checked_metadata(draft.metadata)
    if not any(a.shows for a in draft.avatars) or len(draft.avatars) > MAX_AVATARS:
        raise InvalidInput(f"A concept has 1 to {MAX_AVATARS} avatars.")
