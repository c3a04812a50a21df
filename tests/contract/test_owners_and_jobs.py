"""Seals, epochs and jobs, on SQLite and on PostgreSQL."""

import asyncio
import time
from dataclasses import replace

import pytest

from rap_serve.adapters.catalogue.audit import SqlAudit
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.jobs import SqlJobs
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import JobNotFound
from rap_serve.domain.job import Backlog, Job
from rap_serve.domain.tenancy import Act

MASTER = b"m" * 32


def owners_of(databases: tuple[Database, Database]) -> tuple[SqlOwners, SqlOwners]:
    """The owners as two gateways see them."""
    return SqlOwners(databases[0], master_key=MASTER), SqlOwners(databases[1], master_key=MASTER)


async def test_what_one_gateway_closes_another_opens(databases: tuple[Database, Database], owner: Owner) -> None:
    """However many make the seal at once; the same bytes are never closed the same way."""
    here, there = owners_of(databases)
    assert await here.of(owner) is None
    made = await asyncio.gather(*((here, there)[n % 2].made(owner) for n in range(10)))
    assert len({seal.key for seal in made}) == 1
    sealed = made[0].close(b"secret", "body")
    assert sealed != made[0].close(b"secret", "body") and b"secret" not in sealed
    again = await there.of(owner)
    assert again is not None and again.open(sealed, "body") == b"secret"


async def test_a_seal_opens_nothing_else(databases: tuple[Database, Database], owner: Owner) -> None:
    """Not another owner's, another purpose's, another cluster's, nor what was changed."""
    here, _ = owners_of(databases)
    seal, other = await here.made(owner), await here.made(Owner(owner.tenant, f"{owner.user}-2"))
    sealed = seal.close(b"secret", "body")
    for opener, data, purpose in (
        (other, sealed, "body"),
        (seal, sealed, "picture"),
        (seal, sealed[:-1] + bytes([sealed[-1] ^ 1]), "body"),
        (seal, b"", "body"),
    ):
        with pytest.raises(ValueError, match="seal"):
            opener.open(data, purpose)
    with pytest.raises(ValueError, match="seal"):
        await SqlOwners(databases[1], master_key=b"x" * 32).of(owner)
    assert seal.key.hex() not in repr(seal)


async def test_an_erased_owner_has_a_new_epoch_and_nobody_has_the_old_seal(
    databases: tuple[Database, Database], owner: Owner
) -> None:
    """On every gateway at once; who comes back gets a seal that opens nothing of before."""
    here, there = owners_of(databases)
    old = await here.made(owner)
    sealed = old.close(b"secret", "body")
    act = Act(at=5, tenant=owner.tenant, actor="k", action="user.erase", target=owner.user)
    assert await here.erase(owner, act) == old.epoch == 1
    assert await there.of(owner) is None and await there.epoch(owner) == 2
    new = await there.made(owner)
    assert new.epoch == 2
    with pytest.raises(ValueError, match="seal"):
        new.open(sealed, "body")
    assert act in [a.act for a in await SqlAudit(databases[0]).page(owner.tenant, after="", limit=10_000)]


async def test_the_owners_of_a_tenant_come_in_pages(databases: tuple[Database, Database]) -> None:
    """Those that ever stored something."""
    here, _ = owners_of(databases)
    tenant = new_ulid()
    for user in ("c", "a", "b"):
        await here.made(Owner(tenant, user))
    assert await here.of(Owner(tenant, "d")) is None
    assert await here.page(tenant, after="", limit=2) == ["a", "b"]
    assert await here.page(tenant, after="b", limit=2) == ["c"]


def job(tenant: str, **fields: object) -> Job:
    """Something long."""
    values = {"id": new_ulid(), "tenant": tenant, "user": "u", "kind": "import", "created_at": 1, **fields}
    return Job(**values)  # type: ignore[arg-type]


async def claimed(jobs: SqlJobs, job_id: str) -> Job | None:
    """That job, if this gateway gets hold of it; others that lie about are ended."""
    while (found := await jobs.claim()) is not None:
        if found.id == job_id:
            return found
        await jobs.end(replace(found, state="failed"))
    return None


async def test_a_job_goes_from_gateway_to_gateway_and_keeps_where_it_was(
    databases: tuple[Database, Database],
) -> None:
    """A gateway that was taken for dead can change it no more."""
    dead, alive, tenant = SqlJobs(databases[0], hold_seconds=1), SqlJobs(databases[1]), new_ulid()
    wanted = job(tenant, wanted={"pack": "k"})
    await dead.add(wanted)
    first = await claimed(dead, wanted.id)
    assert first is not None and first.wanted == {"pack": "k"} and first.state == "running"
    assert await dead.keep(replace(first, done=3, total=9, kept={"line": 3}))
    assert await claimed(alive, wanted.id) is None
    await asyncio.sleep(1.1)
    second = await claimed(alive, wanted.id)
    assert second is not None and (second.done, second.total, second.kept) == (3, 9, {"line": 3})
    assert not await dead.keep(replace(first, done=4))
    await dead.end(replace(first, state="failed"))
    await alive.end(replace(second, state="done", done=9, result={"added": 9}))
    found = await dead.get(tenant, wanted.id)
    assert (found.state, found.done, found.result) == ("done", 9, {"added": 9})
    assert found.ended_at is not None and found.ended_at <= time.time_ns() // 1_000_000


async def test_one_gateway_claims_a_job(databases: tuple[Database, Database]) -> None:
    """However many ask."""
    gateways, tenant = [SqlJobs(database) for database in databases], new_ulid()
    while await gateways[0].claim() is not None:
        continue
    wanted = [job(tenant) for _ in range(3)]
    for one in wanted:
        await gateways[0].add(one)
    found = await asyncio.gather(*(gateways[n % 2].claim() for n in range(12)))
    assert sorted(f.id for f in found if f is not None) == sorted(one.id for one in wanted)
    for gateway in gateways:
        for one in wanted:
            await gateway.end(replace(one, state="done"))


async def test_the_backlog_is_what_could_be_claimed(databases: tuple[Database, Database]) -> None:
    """One that waits, one whose gateway died, as long as they have; not one at work, resting or ended."""
    gateway, tenant = SqlJobs(databases[0], hold_seconds=60), new_ulid()
    while (found := await gateway.claim()) is not None:
        await gateway.end(replace(found, state="done"))
    assert await gateway.backlog() == Backlog()
    now_ms = time.time_ns() // 1_000_000
    for until_ms in (now_ms + 60_000, now_ms - 30_000):
        await gateway.add(job(tenant))
        resting = await gateway.claim()
        assert resting is not None
        await gateway.rest(resting.id, until_ms=until_ms)
    assert (await gateway.backlog()).waiting == 1 and (await gateway.backlog()).longest_seconds >= 30
    await gateway.add(replace(job(tenant), created_at=now_ms - 90_000))
    backlog = await SqlJobs(databases[1]).backlog()
    assert backlog.waiting == 2 and 90 <= backlog.longest_seconds < 100
    while (found := await gateway.claim()) is not None:
        await gateway.end(replace(found, state="done"))


async def test_a_job_that_is_added_here_is_known_of_at_once(databases: tuple[Database, Database]) -> None:
    """Who waits for jobs wakes up, and goes on waiting where none came."""
    jobs, tenant = SqlJobs(databases[0]), new_ulid()
    for _ in range(2):
        waiting = asyncio.create_task(jobs.added(at_most_seconds=60))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await jobs.add(job(tenant, state="done"))
        await asyncio.wait_for(waiting, 10)


async def test_a_job_is_cancelled_at_its_next_sign_of_life(databases: tuple[Database, Database]) -> None:
    """One that has not begun, at once; one that has ended, not at all."""
    jobs, tenant = SqlJobs(databases[0]), new_ulid()
    waiting, running = job(tenant), job(tenant)
    await jobs.add(running)
    begun = await claimed(jobs, running.id)
    assert begun is not None
    await jobs.add(waiting)
    assert (await jobs.cancel(tenant, waiting.id)).state == "cancelled"
    assert (await jobs.cancel(tenant, running.id)).state == "running"
    assert not await jobs.keep(begun)
    await jobs.end(replace(begun, state="cancelled"))
    assert (await jobs.cancel(tenant, running.id)).state == "cancelled"


async def test_a_tenant_sees_its_own_jobs_alone(databases: tuple[Database, Database]) -> None:
    """Those of others do not exist."""
    jobs, tenant = SqlJobs(databases[0]), new_ulid()
    mine = sorted((job(tenant, state="done") for _ in range(3)), key=lambda j: j.id)
    for one in mine:
        await jobs.add(one)
    first = await jobs.page(tenant, after="", limit=2)
    assert [j.id for j in (*first, *await jobs.page(tenant, after=first[-1].id, limit=5))] == [j.id for j in mine]
    for call in (jobs.get("other", mine[0].id), jobs.cancel("other", mine[0].id)):
        with pytest.raises(JobNotFound):
            await call
