"""Changes to a concept: each makes a whole new version."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
)
from rap_serve.domain.errors import NOTHING_WRITTEN, ConceptNotFound, InvalidInput, NotFound, VersionMismatch
from rap_serve.domain.ports import ConceptMemory
from rap_serve.domain.tenancy import Amounts, holdings
from rap_serve.services.commit import Commit
from rap_serve.services.enrol import AvatarDraft, Enrol
from rap_serve.services.recall import Recall

VERSION_FIELDS = ("version", "name", "category", "info", "metadata", "updated_at", "write_id")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConceptPatch:
    """What should change; None leaves a field as it is. ``avatars`` replaces all of them."""

    name: str | None = None
    category: str | None = None
    info: str | None = None
    metadata: Mapping[str, str] | None = None
    avatars: tuple[AvatarDraft, ...] | None = None
    added_avatars: tuple[AvatarDraft, ...] = ()
    removed_avatar: str | None = None


class Edit:
    """Edits concepts. An edit is lost to no other: the version that was read must still be the stored one."""

    def __init__(self, *, memory: ConceptMemory, commit: Commit, recall: Recall, enrol: Enrol) -> None:
        self._memory = memory
        self._commit = commit
        self._recall = recall
        self._enrol = enrol

    async def __call__(
        self,
        owner: Owner,
        concept_id: str,
        patch: ConceptPatch,
        *,
        expected_version: int | None = None,
        attempt: Attempt | None = None,
    ) -> Concept:
        """The new version. Raises InvalidInput, ConceptNotFound, NameTaken, VersionMismatch, Erased, Unavailable.

        ``attempt``: which one this is where the request has an idempotency key.
        """
        epoch = await self._commit.epoch(owner)
        library = await self._recall(owner)
        current = library.get(concept_id)
        if (done := await self._written_before(owner, current, attempt)) is not None:
            return done
        if expected_version is not None and current.version != expected_version:
            raise VersionMismatch(f"The concept is at version {current.version}, not {expected_version}.")
        renewed = replace(_renewed(current, patch), write_id=attempt.write_id if attempt else "")
        kept = _kept(current, patch)
        drafts = _drafts(kept, patch)
        beside = await self._enrol.again(owner, kept) if drafts else kept  # one embedder for all of a concept
        made = await self._enrol(owner, drafts, renewed.category)
        edited = replace(renewed, avatars=(*beside, *made))
        try:
            async with self._commit(owner, holdings([edited]) + -holdings([current]), epoch=epoch) as write:
                write.moment = await self._memory.put(edited, expected_version=current.version, after=write.after)
        except NOTHING_WRITTEN:
            await self._enrol.discard(owner, made)
            raise
        await self._enrol.discard(owner, (a for a in current.avatars if a not in kept))
        return edited

    async def _written_before(self, owner: Owner, current: Concept, attempt: Attempt | None) -> Concept | None:
        """What an earlier attempt has written; with the avatars that are left, where others have edited it since."""
        if attempt is None or attempt.number == 1:
            return None
        if current.write_id == attempt.write_id:
            return current
        for past in await self._memory.history(owner, current.id):
            if past.write_id == attempt.write_id:
                said = {field: getattr(past, field) for field in VERSION_FIELDS}
                left = tuple(a for a in current.avatars if a.id in past.avatar_ids)
                return replace(current, **said, avatars=left)
        return None


class Forget:
    """Deletes concepts and their pictures."""

    def __init__(self, *, memory: ConceptMemory, commit: Commit, enrol: Enrol) -> None:
        self._memory = memory
        self._commit = commit
        self._enrol = enrol

    async def __call__(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, attempt: Attempt | None = None
    ) -> None:
        """Raises ConceptNotFound, VersionMismatch or Unavailable.

        A later attempt at it may find that an earlier one has done it.
        """
        try:
            gone = await self._forgotten(owner, concept_id, expected_version)
        except ConceptNotFound:
            if attempt is None or attempt.number == 1:
                raise
            return
        await self._enrol.discard(owner, gone.avatars)

    async def _forgotten(self, owner: Owner, concept_id: str, expected_version: int | None) -> Concept:
        async with self._commit(owner, Amounts(concepts=-1)) as write:
            gone, write.moment = await self._memory.delete(
                owner, concept_id, expected_version=expected_version, after=write.after
            )
            write.amounts = -holdings([gone])
        return gone


def _renewed(current: Concept, patch: ConceptPatch) -> Concept:
    """The next version, its avatars as they were."""
    return replace(
        current,
        name=current.name if patch.name is None else checked_name(patch.name),
        category=current.category if patch.category is None else checked_category(patch.category),
        info=current.info if patch.info is None else checked_info(patch.info),
        info_generated=current.info_generated and patch.info is None,
        metadata=current.metadata if patch.metadata is None else checked_metadata(patch.metadata),
        version=current.version + 1,
        updated_at=time.time_ns() // 1_000_000,
    )


def _kept(current: Concept, patch: ConceptPatch) -> tuple[Avatar, ...]:
    if patch.avatars is not None:
        return current.corrections
    kept = tuple(a for a in current.avatars if a.id != patch.removed_avatar)
    if patch.removed_avatar is not None and len(kept) == len(current.avatars):
        raise NotFound(f"The concept has no avatar {patch.removed_avatar!r}.")
    return kept


def _drafts(kept: tuple[Avatar, ...], patch: ConceptPatch) -> tuple[AvatarDraft, ...]:
    drafts = (*(patch.avatars or ()), *patch.added_avatars)
    if not any([*(a.shows for a in kept), *(d.shows for d in drafts)]):
        raise InvalidInput("A concept has at least one avatar.")
    if len(kept) + len(drafts) > MAX_AVATARS:
        raise InvalidInput(f"A concept has at most {MAX_AVATARS} avatars and corrections together.")
    return drafts
