"""Another embedder for everybody, under reads and writes.

While two embedders run, every write is embedded by both, and a job adds what the new one has not seen. When nothing is
lacking any more, the new one answers, on all gateways within seconds. What the old one has seen stays for a grace
period and goes on being written; within it, the way back is the same command with the old name.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rap_serve.domain.catalogue import Audit, Jobs, Owners, Spaces
from rap_serve.domain.concept import Avatar, Owner, Vector
from rap_serve.domain.errors import Conflict, NotFound
from rap_serve.domain.job import ENDED, Job
from rap_serve.domain.ports import Cache, ConceptMemory, ReembeddableConcepts
from rap_serve.domain.tenancy import Act, Caller
from rap_serve.services.embedding import REFRESH_SECONDS, EmbeddingModel, EmbeddingModels
from rap_serve.services.enrol import Enrol
from rap_serve.services.run_jobs import Progress, queued

OWNERS_AT_ONCE = 100
AVATARS_AT_ONCE = 16
JOBS_AT_ONCE = 1_000
GRACE_SECONDS = 86_400.0
CLUSTER = ""
"""Whose job it is, where it is no tenant's."""


class StartReembedding:
    """Begins to re-embed: a job does the work."""

    def __init__(self, *, models: EmbeddingModels, jobs: Jobs, audit: Audit) -> None:
        self._models = models
        self._jobs = jobs
        self._audit = audit

    async def __call__(self, caller: Caller, version: str, *, grace: float = GRACE_SECONDS, pause: float = 0.0) -> Job:
        """The job. Raises InvalidInput where that embedder does not run, Conflict while another one is coming in.

        ``grace``: seconds in which the way back is open; ``pause``: between two batches, to leave room for others.
        """
        self._models.named(version)
        for job in await self._jobs.page(CLUSTER, after="", limit=JOBS_AT_ONCE):
            if job.state not in ENDED and "until" not in job.kept:
                raise Conflict(f"{job.id} is under way: cancel it, or wait until it has switched.")
        detail = {"from": self._models.current.space.version, "to": version}
        now_ms = time.time_ns() // 1_000_000
        await self._audit.note(
            Act(at=now_ms, tenant=CLUSTER, actor=caller.key_id, action="embedder.change", target=version, detail=detail)
        )
        job = queued(CLUSTER, "", "re-embed", version=version, grace=grace, pause=pause)
        await self._jobs.add(job)
        return job


@dataclass(slots=True)
class _Pass:
    """One time through all owners."""

    owners: int = 0
    concepts: int = 0
    embedded: int = 0
    unreadable: int = 0


class Reembed:
    """Embeds what the new embedder has not seen, until a whole pass over everybody finds nothing; then switches."""

    def __init__(
        self,
        *,
        memory: ConceptMemory,
        stored: ReembeddableConcepts,
        owners: Owners,
        cache: Cache,
        enrol: Enrol,
        models: EmbeddingModels,
        spaces: Spaces,
    ) -> None:
        self._memory = memory
        self._stored = stored
        self._owners = owners
        self._cache = cache
        self._enrol = enrol
        self._models = models
        self._spaces = spaces

    async def __call__(self, progress: Progress) -> Mapping[str, Any]:
        """The work: how many owners and concepts the embedder has seen, and how many avatars it embedded for that."""
        wanted = progress.job.wanted
        model = self._models.named(str(wanted["version"]))
        if "until" not in progress.job.kept:
            await self._completed(progress, model)
            await self._spaces.switch(model.space.version)
            await asyncio.sleep(2 * REFRESH_SECONDS)  # by then all gateways know
            until = time.time() + float(wanted["grace"])
            await progress.keep(kept={"until": until}, result={**progress.job.result, "switched": True})
        progress.rest_until(progress.job.kept["until"])
        if await self._spaces.current() != model.space.version:
            return {**progress.job.result, "reversed": True}
        async for owner in self._everybody(None):
            async with self._cache.writing(owner) as write:
                write.require_alone()
                write.moment = await self._stored.keep_only(owner, model.space)
        return progress.job.result

    async def _completed(self, progress: Progress, model: EmbeddingModel) -> None:
        """Pass after pass, as gateways that did not know the embedder may have written behind one."""
        embedded = int(progress.job.result.get("embedded", 0))
        place = progress.job.kept.get("place")
        while True:
            done = _Pass()
            async for owner in self._everybody(Owner(*place) if place else None):
                await self._complete(owner, model, done, pause=float(progress.job.wanted["pause"]))
                result = {"owners": done.owners, "concepts": done.concepts, "unreadable": done.unreadable}
                await progress.keep(
                    done=done.owners,
                    total=await self._owners.count(),
                    kept={"place": [owner.tenant, owner.user]},
                    result={**result, "embedded": embedded + done.embedded},
                )
            embedded += done.embedded
            if not done.embedded and not place:
                return
            place = None

    async def _complete(self, owner: Owner, model: EmbeddingModel, done: _Pass, *, pause: float) -> None:
        unreadable: set[str] = set()
        while True:
            library = await self._memory.library(owner, space=model.space)
            lacking = [c for c in library.concepts if not c.embeddings(model.space.version)]
            avatars = [a for c in lacking if not unreadable & {a.id for a in c.avatars} for a in c.avatars]
            if not avatars:
                break
            embeddings = await self._embedded(owner, avatars, model, unreadable, pause=pause)
            async with self._cache.writing(owner) as write:
                write.require_alone()
                write.moment = await self._stored.complete(owner, model.space, embeddings)
            done.embedded += len(embeddings)
        done.owners += 1
        done.concepts += len(library.concepts)
        done.unreadable += len(lacking)

    async def _embedded(
        self, owner: Owner, avatars: Sequence[Avatar], model: EmbeddingModel, unreadable: set[str], *, pause: float
    ) -> dict[str, Vector]:
        """The embeddings of those whose pictures are there; the others are added to ``unreadable``."""

        async def one(avatar: Avatar) -> Avatar | None:
            try:
                return await self._enrol.also(owner, avatar, model)
            except NotFound:
                unreadable.add(avatar.id)
                return None

        found: list[Avatar] = []
        for start in range(0, len(avatars), AVATARS_AT_ONCE):
            made = await asyncio.gather(*(one(a) for a in avatars[start : start + AVATARS_AT_ONCE]))
            found += [avatar for avatar in made if avatar is not None]
            await asyncio.sleep(pause)
        return {avatar.id: avatar.embeddings[model.space.version] for avatar in found}

    async def _everybody(self, after: Owner | None) -> AsyncIterator[Owner]:
        """All owners, or those after one of them."""
        while page := await self._owners.all_after(after, limit=OWNERS_AT_ONCE):
            for after in page:
                yield after
