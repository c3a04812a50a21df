"""Moving a tenant to another shelf of the memory, under its reads and writes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from rap_serve.domain.catalogue import Jobs, Owners, Shelves, Tenants
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import TenantNotFound
from rap_serve.domain.job import Job
from rap_serve.domain.ports import Cache, ConceptMemory, MovableConcepts
from rap_serve.domain.tenancy import Act, Caller, checked_shelf
from rap_serve.services.run_jobs import Progress, queued

USERS_AT_ONCE = 100
GRACE_SECONDS = 60.0


class MoveTenant:
    """Begins a move: new owners go to the new shelf at once, a job carries the others."""

    def __init__(self, *, shelves: Shelves, tenants: Tenants, jobs: Jobs) -> None:
        self._shelves = shelves
        self._tenants = tenants
        self._jobs = jobs

    async def __call__(
        self, caller: Caller, tenant: str, shelf: str, *, grace: float = GRACE_SECONDS, pause: float = 0.0
    ) -> Job:
        """The job. Raises InvalidInput, TenantNotFound.

        ``grace``: seconds that the old copies stay; ``pause``: between two owners, to leave room for others.
        """
        found = await self._tenants.get(tenant)
        if found.state == "erased":
            raise TenantNotFound(f"There is no tenant {tenant!r} any more.")
        detail = {"from": found.shelf, "to": checked_shelf(shelf)}
        now_ms = time.time_ns() // 1_000_000
        act = Act(at=now_ms, tenant=tenant, actor=caller.key_id, action="tenant.move", target=tenant, detail=detail)
        await self._shelves.assign(tenant, shelf, act)
        job = queued(tenant, "", "move-tenant", shelf=shelf, grace=grace, pause=pause)
        await self._jobs.add(job)
        return job


class Move:
    """Carries a tenant's owners, one at a time, each while none of its writes is under way.

    A write that comes meanwhile waits for some tens of milliseconds, and then finds its owner on the new shelf. Reads
    go on. What was left behind is cleared after the grace period; until then moving back is as easy.
    """

    def __init__(self, *, memory: MovableConcepts, concepts: ConceptMemory, owners: Owners, cache: Cache) -> None:
        """``concepts``: the same memory as its readers have it, who are told where a part of it is missing."""
        self._memory = memory
        self._concepts = concepts
        self._owners = owners
        self._cache = cache

    async def __call__(self, progress: Progress) -> Mapping[str, Any]:
        """The work of a move: how many owners and concepts are on the new shelf."""
        job = progress.job
        if "until" not in job.kept:
            await self._carry(progress)
            until = time.time() + float(job.wanted["grace"])
            await progress.keep(kept={"until": until}, result={**progress.job.result, "switched": True})
        progress.rest_until(progress.job.kept["until"])
        async for owner in self._after(job.tenant, ""):
            async with self._cache.writing(owner) as write:
                write.require_alone()
                await self._memory.clear(owner)
        return progress.job.result

    async def _carry(self, progress: Progress) -> None:
        job, after = progress.job, str(progress.job.kept.get("user", ""))
        counts = {"owners": 0, "concepts": 0, **job.result}
        async for owner in self._after(job.tenant, after):
            async with self._cache.writing(owner) as write:
                write.require_alone()
                await self._concepts.library(owner)
                receipt = await self._memory.move(owner, str(job.wanted["shelf"]))
            counts = {"owners": counts["owners"] + 1, "concepts": counts["concepts"] + receipt.concepts}
            kept = {**progress.job.kept, "user": owner.user}
            await progress.keep(done=counts["owners"], kept=kept, result=counts)
            await asyncio.sleep(float(job.wanted["pause"]))

    async def _after(self, tenant: str, user: str) -> AsyncIterator[Owner]:
        """The tenant's owners after one of them."""
        while page := await self._owners.page(tenant, after=user, limit=USERS_AT_ONCE):
            for user in page:
                yield Owner(tenant, user)
