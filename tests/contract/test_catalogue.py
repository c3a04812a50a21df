"""What the catalogue promises, on SQLite and on PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rap_serve.adapters.catalogue.audit import SqlAudit
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.catalogue.usage import SqlUsage
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import Conflict, InvalidInput, NotFound, QuotaExceeded, TenantNotFound, Unavailable
from rap_serve.domain.tenancy import Act, Amounts, ApiKey, Consumption, Limits, Tenant, new_key, new_secret

ONE = Amounts(concepts=1, avatars=2, bytes=1_000)
PEPPER = b"pepper"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.sqlite3'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A gateway's connection."""
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
async def another(url: str) -> AsyncIterator[Database]:
    """Another gateway's connection to the same database."""
    database = Database(url)
    yield database
    await database.close()


def act(action: str = "test", **detail: object) -> Act:
    """Something that was done."""
    return Act(at=time.time_ns() // 1_000_000, tenant="t", actor="key_1", action=action, target="x", detail=detail)


async def added(database: Database, **limits: int) -> str:
    """A fresh tenant."""
    tenant = Tenant(id=f"t-{new_ulid()}", limits=Limits(**limits), created_at=5)
    await SqlTenants(database).add(tenant, act())
    return tenant.id


def key_of(tenant: str) -> ApiKey:
    """A fresh key."""
    return new_key(tenant, new_secret(), PEPPER, label="ci", scopes=frozenset({"read", "write"}), now_ms=7)


async def test_a_tenant_is_kept_with_its_limits(database: Database, another: Database) -> None:
    """On every gateway, and after a change."""
    tenant = await added(database, concepts=3, tokens_per_minute=0)
    found = await SqlTenants(another).get(tenant)
    assert (found.state, found.created_at, found.limits) == ("active", 5, Limits(concepts=3, tokens_per_minute=0))
    changed = await SqlTenants(another).change(tenant, limits=Limits(avatars=2, weight=3), state="suspended", act=act())
    assert changed == await SqlTenants(database).get(tenant)
    assert (changed.state, changed.limits) == ("suspended", Limits(avatars=2, weight=3))


async def test_a_catalogue_of_before_gets_the_columns_it_lacks(database: Database, another: Database) -> None:
    """And keeps its tenants."""
    tenant = await added(database, concepts=3)
    await database.write(lambda c: c.exec_driver_sql("ALTER TABLE tenants DROP COLUMN weight"))
    assert (await SqlTenants(another).get(tenant)).limits == Limits(concepts=3)


async def test_a_weight_is_at_least_one() -> None:
    """A tenant without any share is one that is suspended."""
    assert Limits().share == 1 and Limits(weight=3).share == 3
    with pytest.raises(InvalidInput):
        Limits(weight=0)


async def test_a_tenant_id_is_taken_once(database: Database) -> None:
    """And an unknown one is not found."""
    tenant = await added(database)
    with pytest.raises(Conflict):
        await SqlTenants(database).add(Tenant(id=tenant), act())
    for call in (SqlTenants(database).get("nobody"), SqlTenants(database).keys("nobody")):
        with pytest.raises(TenantNotFound):
            await call
    with pytest.raises(TenantNotFound):
        await SqlTenants(database).add_key(key_of("nobody"), act())


async def test_an_erased_tenant_does_not_come_back(database: Database) -> None:
    """Neither by a change nor under its old id."""
    tenant = await added(database)
    await SqlTenants(database).change(tenant, limits=None, state="erased", act=act())
    with pytest.raises(TenantNotFound):
        await SqlTenants(database).change(tenant, limits=None, state="active", act=act())
    with pytest.raises(Conflict):
        await SqlTenants(database).add(Tenant(id=tenant), act())


async def test_tenants_come_in_pages(database: Database) -> None:
    """In the order of their ids."""
    mine = sorted([await added(database) for _ in range(3)])
    tenants = SqlTenants(database)
    first = [t.id for t in await tenants.page(after=mine[0][:-1], limit=2)]
    rest = [t.id for t in await tenants.page(after=first[-1], limit=100)]
    assert first == mine[:2] and mine[2] in rest and not set(first) & set(rest)


async def test_changes_tell_what_is_new_and_nothing_twice(database: Database, another: Database) -> None:
    """Tenants and keys, from another gateway, ended keys included."""
    tenants, elsewhere = SqlTenants(database), SqlTenants(another)
    seen = (await elsewhere.changes(since=0)).revision
    tenant = await added(database)
    key = key_of(tenant)
    await tenants.add_key(key, act())
    changes = await elsewhere.changes(since=seen)
    assert [t.id for t in changes.tenants] == [tenant] and list(changes.keys) == [key]
    await tenants.end_key(tenant, key.id, at=99, act=act())
    later = await elsewhere.changes(since=changes.revision)
    assert later.tenants == () and [k.revoked_at for k in later.keys] == [99]
    assert (await elsewhere.changes(since=later.revision)).keys == ()


async def test_no_change_is_missed_by_who_asks_while_many_are_made(database: Database, another: Database) -> None:
    """Revisions become visible in their order."""
    seen: set[str] = set()
    at = (await SqlTenants(another).changes(since=0)).revision
    writers = asyncio.gather(*(added(database) for _ in range(60)))
    while not writers.done():
        changes = await SqlTenants(another).changes(since=at)
        seen |= {t.id for t in changes.tenants}
        at = changes.revision
    changes = await SqlTenants(another).changes(since=at)
    assert seen | {t.id for t in changes.tenants} >= set(await writers)


async def test_a_key_ends_once_and_may_have_a_successor(database: Database) -> None:
    """An end is never put off."""
    tenants, tenant = SqlTenants(database), await added(database)
    key, successor = key_of(tenant), key_of(tenant)
    await tenants.add_key(key, act())
    assert (await tenants.end_key(tenant, key.id, at=50, act=act(), successor=successor)).revoked_at == 50
    assert (await tenants.end_key(tenant, key.id, at=90, act=act())).revoked_at == 50
    assert {k.id: k.revoked_at for k in await tenants.keys(tenant)} == {key.id: 50, successor.id: None}
    with pytest.raises(NotFound):
        await tenants.end_key(tenant, "key_0", at=1, act=act())
    with pytest.raises(NotFound):
        await tenants.end_key(await added(database), key.id, at=1, act=act())


async def test_acts_are_written_down_in_order(database: Database) -> None:
    """By tenant, in pages, with their details."""
    audit, tenant = SqlAudit(database), new_ulid()
    for number in range(3):
        await audit.note(Act(at=10 + number, tenant=tenant, actor="k", action="a", target="x", detail={"n": number}))
    first = await audit.page(tenant, after="", limit=2)
    rest = await audit.page(tenant, after=first[-1].id, limit=10)
    assert [a.act.detail["n"] for a in (*first, *rest)] == [0, 1, 2]
    assert {a.id for a in first} <= {a.id for a in await audit.page(None, after="", limit=10_000)}


async def test_what_fails_is_not_written_down(database: Database) -> None:
    """A change and its note are one."""
    tenant = await added(database)
    before = len(await SqlAudit(database).page(None, after="", limit=10_000))
    with pytest.raises(Conflict):
        await SqlTenants(database).add(Tenant(id=tenant), act())
    assert len(await SqlAudit(database).page(None, after="", limit=10_000)) == before


async def test_quotas_hold_to_the_unit_under_32_writers(database: Database, another: Database) -> None:
    """On two gateways at once, whatever the writers' luck."""
    tenant = await added(database, concepts=50, avatars=1_000, bytes=1_000_000)
    gateways = [SqlQuotas(database), SqlQuotas(another)]

    async def write(number: int) -> bool:
        quotas, owner = gateways[number % 2], Owner(tenant, f"u{number % 5}")
        try:
            reservation = await quotas.reserve(owner, ONE)
        except QuotaExceeded:
            return False
        if number % 7 == 0:
            await quotas.release(reservation)
            return False
        await quotas.settle(reservation)
        return True

    room = asyncio.Semaphore(32)

    async def in_turn(number: int) -> bool:
        async with room:
            return await write(number)

    written = sum(await asyncio.gather(*(in_turn(n) for n in range(200))))
    assert written == 50
    assert await gateways[0].held(tenant) == Amounts(concepts=50, avatars=100, bytes=50_000)
    with pytest.raises(QuotaExceeded, match="50 of 50 concepts"):
        await gateways[1].reserve(Owner(tenant, "u0"), ONE)


async def test_what_is_given_back_can_be_taken_again(database: Database) -> None:
    """A deletion counts once it has happened, not before."""
    tenant = await added(database, concepts=1)
    quotas, owner = SqlQuotas(database), Owner(tenant, "u")
    await quotas.settle(await quotas.reserve(owner, ONE))
    deletion = await quotas.reserve(owner, -ONE)
    with pytest.raises(QuotaExceeded):
        await quotas.reserve(owner, ONE)
    await quotas.settle(deletion)
    assert await quotas.held(tenant) == Amounts()
    await quotas.settle(await quotas.reserve(owner, ONE))


async def test_a_write_that_became_less_gives_the_rest_back(database: Database) -> None:
    """Of three concepts two had names that were taken."""
    tenant = await added(database, concepts=3)
    quotas, owner = SqlQuotas(database), Owner(tenant, "u")
    reservation = await quotas.reserve(owner, Amounts(concepts=3, avatars=6, bytes=3_000))
    await quotas.settle(replace(reservation, amounts=ONE))
    assert await quotas.held(tenant) == ONE


async def test_ending_a_reservation_twice_counts_once(database: Database) -> None:
    """A settled one that is settled again has its owner counted anew."""
    tenant = await added(database)
    quotas, owner = SqlQuotas(database), Owner(tenant, "u")
    reservation = await quotas.reserve(owner, ONE)
    await quotas.settle(reservation)
    await quotas.release(reservation)
    assert await quotas.held(tenant) == ONE
    await quotas.settle(reservation)
    (suspicion,) = [r for r in await quotas.overdue(limit=1_000) if r.owner == owner]
    await quotas.recount(suspicion, ONE)
    assert await quotas.held(tenant) == ONE


@pytest.mark.parametrize("actual", [Amounts(), ONE])
async def test_a_dead_writers_reservation_is_found_and_recounted(database: Database, actual: Amounts) -> None:
    """Whether its write happened or not."""
    tenant = await added(database, concepts=5)
    quotas, owner = SqlQuotas(database, lease_seconds=0), Owner(tenant, "u")
    await quotas.reserve(owner, ONE)
    assert await quotas.held(tenant) == ONE
    await asyncio.sleep(0.01)
    (overdue,) = [r for r in await quotas.overdue(limit=1_000) if r.owner == owner]
    assert overdue.amounts == ONE
    await quotas.recount(overdue, actual)
    assert await quotas.held(tenant) == actual


async def test_usage_adds_up(database: Database, another: Database) -> None:
    """Per user, day and kind, from both gateways at once."""
    tenant = new_ulid()
    row = Consumption(tenant=tenant, user="u", day="2026-01-02", kind="chat", requests=1, prompt_tokens=10)
    other = Consumption(tenant=tenant, user="v", day="2026-01-03", kind="write", requests=2, completion_tokens=3)
    batches = [SqlUsage(d).add([row, other]) for d in (database, another) for _ in range(10)]
    await asyncio.gather(*batches)
    found = await SqlUsage(database).between(tenant, "2026-01-01", "2026-01-31", user=None)
    assert [(c.user, c.requests, c.prompt_tokens, c.completion_tokens) for c in found] == [
        ("u", 20, 200, 0),
        ("v", 40, 0, 60),
    ]
    assert len(await SqlUsage(database).between(tenant, "2026-01-03", "2026-01-03", user=None)) == 1
    assert await SqlUsage(database).between(tenant, "2026-01-01", "2026-01-31", user="w") == []


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """And nothing else."""
    for url in (f"sqlite:///{tmp_path}/no/such/folder/x", "postgresql+psycopg://rap@127.0.0.1:1/none"):
        database = Database(url)
        with pytest.raises(Unavailable):
            await SqlTenants(database).get("t")
        with pytest.raises(Unavailable):
            await database.ping()
        await database.close()


async def test_a_database_that_is_there_answers_a_ping(database: Database, another: Database) -> None:
    """A fresh one, and one that another gateway has made."""
    await database.ping()
    await another.ping()


async def test_everything_is_there_after_a_restart(url: str) -> None:
    """Another process would find the same."""
    first = Database(url)
    tenant = await added(first, concepts=2)
    key = key_of(tenant)
    await SqlTenants(first).add_key(key, act())
    await first.close()
    second = Database(url)
    assert list(await SqlTenants(second).keys(tenant)) == [key]
    await second.close()
