"""Erasing a user or a tenant: out of reach at once, then taken away everywhere, with a receipt."""

import time
from collections.abc import Mapping
from typing import Any

from rap_serve.domain.catalogue import Jobs, Owners, Quotas, Replies, Shares, Tenants, Usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.job import Job
from rap_serve.domain.ports import Cache, MovableConcepts, SealedBlobs, SealedConcepts
from rap_serve.domain.tenancy import Act, Amounts, Caller, holdings
from rap_serve.services.run_jobs import Progress, queued
from rap_serve.services.share import changing

USERS_AT_ONCE = 100


class Erase:
    """Makes an owner unreadable, and queues what takes the rest away.

    The owner's seal is forgotten while no write is under way. From then on nothing of before can be opened, by
    whatever gateway, backup or late writer, and the owner begins anew with an empty memory, sharing nothing.
    """

    def __init__(self, *, cache: Cache, owners: Owners, shares: Shares, tenants: Tenants, jobs: Jobs) -> None:
        self._cache = cache
        self._owners = owners
        self._shares = shares
        self._tenants = tenants
        self._jobs = jobs

    async def user(self, caller: Caller, owner: Owner) -> Job:
        """The job that purges; the user is unreadable when this returns. Raises Unavailable."""
        act = Act(at=_now_ms(), tenant=owner.tenant, actor=caller.key_id, action="user.erase", target=owner.user)
        async with self._cache.writing(owner):
            await self._owners.erase(owner, act)
        job = queued(owner.tenant, owner.user, "erase-user", unreadable_at=_now_ms())
        await self._jobs.add(job)
        for taker in {share.taker for share in await self._shares.ended(owner)}:
            async with changing(self._cache, taker):
                pass  # it learns of what has ended
        return job

    async def tenant(self, caller: Caller, tenant: str) -> Job:
        """The job that purges; no key of the tenant opens anything when this returns. Raises TenantNotFound."""
        act = Act(at=_now_ms(), tenant=tenant, actor=caller.key_id, action="tenant.erase", target=tenant)
        await self._tenants.change(tenant, limits=None, state="erased", act=act)
        job = queued(tenant, "", "erase-tenant", unreadable_at=_now_ms())
        await self._jobs.add(job)
        return job


class Purge:
    """Takes away what erased owners left, store by store."""

    def __init__(
        self,
        *,
        memory: SealedConcepts,
        shelves: MovableConcepts,
        blobs: SealedBlobs,
        cache: Cache,
        quotas: Quotas,
        replies: Replies,
        usage: Usage,
        owners: Owners,
        shares: Shares,
        jobs: Jobs,
    ) -> None:
        self._memory = memory
        self._shelves = shelves
        self._blobs = blobs
        self._cache = cache
        self._quotas = quotas
        self._replies = replies
        self._usage = usage
        self._owners = owners
        self._shares = shares
        self._jobs = jobs

    async def user(self, progress: Progress) -> Mapping[str, Any]:
        """The work of a user's erasure; its receipt."""
        owner = Owner(progress.job.tenant, progress.job.user)
        await progress.keep(total=1, done=0)
        receipt = await self._purged(owner)
        await progress.keep(done=1)
        return {"state": "purged", "receipt": receipt}

    async def tenant(self, progress: Progress) -> Mapping[str, Any]:
        """The work of a tenant's erasure; its receipt, added up over its users."""
        tenant, total = progress.job.tenant, dict[str, Any](progress.job.result.get("receipt", {}))
        after, users = str(progress.job.kept.get("user", "")), progress.job.done
        while page := await self._owners.page(tenant, after=after, limit=USERS_AT_ONCE):
            for user in page:
                owner = Owner(tenant, user)
                async with self._cache.writing(owner):
                    await self._owners.erase(owner, None)
                total = _added(total, await self._purged(owner))
                after, users = user, users + 1
                kept = {**progress.job.kept, "user": user}
                await progress.keep(done=users, kept=kept, result={"receipt": total})
        return {"state": "purged", "users": users, "receipt": total}

    async def _purged(self, owner: Owner) -> dict[str, Any]:
        """What was found and removed of an erased owner, by store."""
        async with self._cache.writing(owner):
            await self._quotas.correct(owner, Amounts())  # from here on nothing is missed
            memory = await self._memory.purge(owner)
            await self._shelves.clear(owner)
            await self._quotas.correct(owner, holdings((await self._memory.library(owner)).concepts))
        return {
            "memory": memory,
            "blobs": {"pictures": await self._blobs.purge(owner)},
            "caches": {"entries": await self._cache.purge(owner)},
            "idempotency_replies": {"replies": await self._replies.purge(owner)},
            "shares": {"given_or_taken": await self._unshared(owner)},
            "jobs": {"imports_and_exports": await self._jobs.purge(owner)},
            "usage": {"rows_made_anonymous": await self._usage.anonymise(owner)},
            "logs": {"entries": 0, "note": "logs hold no names, texts, pictures or user ids"},
            "in_flight": {"note": "requests that came in before find their user erased, and store nothing"},
        }

    async def _unshared(self, owner: Owner) -> int:
        """How many shares ended with the owner's erasure; they are forgotten."""
        ended = await self._shares.ended(owner)
        for share in ended:
            async with changing(self._cache, share.taker):
                await self._shares.end(share)
        return len(ended)


def _added(total: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two receipts as one: numbers added up, words kept."""
    result = dict(total)
    for name, value in more.items():
        if isinstance(value, Mapping):
            result[name] = _added(result.get(name, {}), value)
        else:
            result[name] = result.get(name, 0) + value if isinstance(value, int) else value
    return result


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
