"""Keys, counting and settling, on a real catalogue that two gateways share."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.catalogue.usage import SqlUsage
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.redis_cache import RedisCache
from rap_serve.domain.chat import Usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import (
    Erased,
    Forbidden,
    InvalidInput,
    NameTaken,
    QuotaExceeded,
    TenantSuspended,
    Unauthorised,
    Unavailable,
)
from rap_serve.domain.tenancy import Amounts, Caller, Limits, holdings
from rap_serve.services.administer import Administer, Issued
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.commit import Commit, Recount
from rap_serve.services.meter import Meter
from tests.contract.conftest import RedisServer, concept

PEPPER = b"pepper"
OPERATOR = Caller("", "operator", frozenset({"admin", "operator"}))


@pytest.fixture
async def another(tmp_path: Path) -> AsyncIterator[Database]:
    """The same catalogue, as another gateway sees it."""
    database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    yield database
    await database.close()


async def gateway(database: Database, **options: object) -> Authenticate:
    """One gateway's view of the keys."""
    settings = {"keys": {"acme": "rap_a"}, "operator_key": "rap_o", **options}
    authenticate = Authenticate(SqlTenants(database), pepper=PEPPER, **settings)  # type: ignore[arg-type]
    await authenticate.start()
    return authenticate


async def issued(database: Database, tenant: str = "acme", **options: object) -> Issued:
    """A fresh key."""
    administer = Administer(SqlTenants(database), pepper=PEPPER)
    wanted = {"label": "ci", "scopes": ["read"], **options}
    return await administer.issue(OPERATOR, tenant, **wanted)  # type: ignore[arg-type]


async def test_the_keys_of_the_settings_open_their_tenants(database: Database) -> None:
    """The scheme's case and blanks around the key do not matter; the operator's key is of no tenant."""
    authenticate = await gateway(database)
    caller = await authenticate("bearer  rap_a ")
    assert (caller.tenant, caller.scopes) == ("acme", frozenset({"read", "write", "admin"}))
    operator = await authenticate("Bearer rap_o")
    assert operator.tenant == "" and "operator" in operator.scopes
    with pytest.raises(Forbidden):
        operator.require("read")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic rap_a", "rap_a", "Bearer rap_x", "Bearer RAP_A", "Bearer \ud800"]
)
async def test_anything_else_opens_nothing(database: Database, header: str | None) -> None:
    """No default tenant."""
    with pytest.raises(Unauthorised):
        await (await gateway(database))(header)


async def test_an_issued_key_opens_every_gateway_at_once(database: Database, another: Database) -> None:
    """With its scopes and no others; only a digest of it is kept."""
    elsewhere = await gateway(another)
    key = await issued(database)
    caller = await elsewhere(f"Bearer {key.secret}")
    assert (caller.tenant, caller.key_id, caller.scopes) == ("acme", key.key.id, frozenset({"read"}))
    with pytest.raises(Forbidden):
        caller.require("write")
    assert key.secret not in repr(key) and key.secret[4:] not in repr(await SqlTenants(database).keys("acme"))


async def test_a_revoked_key_stops_on_every_gateway(database: Database, another: Database) -> None:
    """As soon as a gateway looks."""
    elsewhere, key = await gateway(another, refresh_seconds=0.05), await issued(database)
    await elsewhere(f"Bearer {key.secret}")
    watching = asyncio.create_task(elsewhere.watch())
    await Administer(SqlTenants(database), pepper=PEPPER).revoke(OPERATOR, "acme", key.key.id)
    await asyncio.sleep(1)
    with pytest.raises(Unauthorised):
        await elsewhere(f"Bearer {key.secret}")
    watching.cancel()


async def test_a_key_expires(database: Database) -> None:
    """By the clock, without anybody looking."""
    authenticate, key = await gateway(database), await issued(database, expires_in=0.6)
    await authenticate(f"Bearer {key.secret}")
    await asyncio.sleep(0.7)
    with pytest.raises(Unauthorised):
        await authenticate(f"Bearer {key.secret}")


async def test_a_rotated_key_overlaps_with_its_successor(database: Database) -> None:
    """Both open for a while, then the new one alone; an ended key has no successor."""
    administer, authenticate = Administer(SqlTenants(database), pepper=PEPPER), await gateway(database)
    old = await issued(database, scopes=["read", "write"])
    new = await administer.rotate(OPERATOR, "acme", old.key.id, overlap=0.8)
    assert {(await authenticate(f"Bearer {k.secret}")).scopes for k in (old, new)} == {frozenset({"read", "write"})}
    await asyncio.sleep(0.9)
    assert (await authenticate(f"Bearer {new.secret}")).key_id == new.key.id
    with pytest.raises(Unauthorised):
        await authenticate(f"Bearer {old.secret}")
    with pytest.raises(InvalidInput):
        await administer.rotate(OPERATOR, "acme", old.key.id, overlap=1)


async def test_a_suspended_tenant_is_out_until_it_is_resumed(database: Database, another: Database) -> None:
    """With all its keys, those of the settings too."""
    administer, elsewhere = Administer(SqlTenants(database), pepper=PEPPER), await gateway(another, max_age_seconds=0)
    await administer.change(OPERATOR, "acme", state="suspended")
    with pytest.raises(TenantSuspended):
        await elsewhere("Bearer rap_a")
    await administer.change(OPERATOR, "acme", state="active", limits=Limits(concepts=1))
    assert (await elsewhere("Bearer rap_a")).tenant == "acme"
    assert elsewhere.limits("acme") == Limits(concepts=1) and elsewhere.limits("nobody") == Limits()


async def test_nobody_is_let_in_once_revocations_cannot_be_known(tmp_path: Path) -> None:
    """A short outage goes unnoticed, a longer one is an outage."""
    folder = tmp_path / "away"
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'catalogue.sqlite3'}")
    patient, strict = await gateway(database), await gateway(database, max_age_seconds=0.3)
    await database.close()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    away = Database(f"sqlite:///{folder / 'catalogue.sqlite3'}")
    for authenticate in (patient, strict):
        authenticate._catalogue = SqlTenants(away)
    await asyncio.sleep(0.4)
    assert (await patient("Bearer rap_a")).tenant == "acme"
    with pytest.raises(Unavailable):
        await strict("Bearer rap_a")


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "operator"]])
async def test_a_key_has_known_scopes(database: Database, scopes: list[str]) -> None:
    """Nobody can issue a key of the operator's."""
    await gateway(database)
    with pytest.raises(InvalidInput):
        await issued(database, scopes=scopes)


async def test_usage_is_written_down(database: Database) -> None:
    """Counted once, however often it is flushed."""
    meter, usage, owner = Meter(SqlUsage(database)), SqlUsage(database), Owner("acme", "ann")
    meter.count(owner, "chat", Usage(10, 2))
    meter.count(owner, "chat", Usage(1, 1))
    meter.count(owner, "write")
    await meter.flush()
    await meter.flush()
    found = await usage.between("acme", "2000-01-01", "2999-01-01", user="ann")
    assert [(c.kind, c.requests, c.prompt_tokens, c.completion_tokens) for c in found] == [
        ("chat", 2, 11, 3),
        ("write", 1, 0, 0),
    ]


async def test_what_cannot_be_written_down_is_kept(tmp_path: Path) -> None:
    """Until the catalogue is back."""
    away = Database(f"sqlite:///{tmp_path}/no/folder/x")
    meter = Meter(SqlUsage(away))
    meter.count(Owner("acme", "ann"), "write")
    await meter.flush()
    (tmp_path / "no" / "folder").mkdir(parents=True)
    await meter.flush()
    assert len(await SqlUsage(away).between("acme", "2000-01-01", "2999-01-01", user=None)) == 1
    await away.close()


async def test_a_write_counts_once_it_happened(
    memory: MilvusMemory, quotas: SqlQuotas, owners: SqlOwners, owner: Owner
) -> None:
    """And what fails does not."""
    commit = Commit(cache=LocalCache(max_bytes=1_000), quotas=quotas, owners=owners)
    first, twin = concept(owner, "bo", avatars=2), concept(owner, "BO")
    async with commit(owner, holdings([first])):
        await memory.put(first, expected_version=None)
    with pytest.raises(NameTaken):
        async with commit(owner, holdings([twin])):
            await memory.put(twin, expected_version=None)
    assert await quotas.held("contract") == holdings([first]) == Amounts(concepts=1, avatars=2, bytes=2_001)
    async with commit(owner, Amounts()) as change:
        gone, _ = await memory.delete(owner, first.id)
        change.amounts = -holdings([gone])
    assert await quotas.held("contract") == Amounts()


async def test_writers_take_turns_even_where_redis_forgets_them(
    quotas: SqlQuotas, owners: SqlOwners, owner: Owner, own_redis: RedisServer
) -> None:
    """Emptied while one writes, Redis would let another in, and both would write the same version."""
    caches = [RedisCache(own_redis.url, seals=owners, embedder_version="e", timeout_seconds=0.5) for _ in range(2)]
    one, two = (Commit(cache=cache, quotas=quotas, owners=owners) for cache in caches)
    ends = []

    async def write(commit: Commit, seconds: float) -> None:
        async with commit(owner, Amounts()):
            await asyncio.sleep(seconds)
            ends.append(commit)

    first = asyncio.create_task(write(one, 0.8))
    await asyncio.sleep(0.4)
    await caches[1]._redis.flushall()
    await write(two, 0.0)
    await first
    assert ends == [one, two]
    for cache in caches:
        await cache.close()


async def test_a_full_tenant_writes_nothing(
    memory: MilvusMemory, quotas: SqlQuotas, owners: SqlOwners, owner: Owner
) -> None:
    """The write is not even begun."""
    commit = Commit(cache=LocalCache(max_bytes=1_000), quotas=quotas, owners=owners)
    with pytest.raises(QuotaExceeded):
        async with commit(owner, Amounts(concepts=3)):
            raise AssertionError


@pytest.mark.parametrize("happened", [True, False])
async def test_an_owner_is_counted_anew_after_a_write_of_unknown_end(
    memory: MilvusMemory, database: Database, quotas: SqlQuotas, owners: SqlOwners, owner: Owner, happened: bool
) -> None:
    """What is there counts."""
    hasty = SqlQuotas(database, lease_seconds=0)
    cache, stored = LocalCache(max_bytes=1_000), concept(owner, "bo", avatars=3)
    with pytest.raises(Unavailable):
        async with Commit(cache=cache, quotas=hasty, owners=owners)(owner, holdings([stored])):
            if happened:
                await memory.put(stored, expected_version=None)
            raise Unavailable("no answer")
    await asyncio.sleep(0.01)
    assert await Recount(memory=memory, cache=cache, quotas=hasty)() == 1
    assert await quotas.held("contract") == (holdings([stored]) if happened else Amounts())
    assert await Recount(memory=memory, cache=cache, quotas=hasty)() == 0


async def test_who_was_erased_meanwhile_gets_nothing_stored(
    memory: MilvusMemory, quotas: SqlQuotas, owners: SqlOwners, owner: Owner
) -> None:
    """A request that came in before the erasure cannot undo it; one that comes in after is welcome."""
    commit = Commit(cache=LocalCache(max_bytes=1_000), quotas=quotas, owners=owners)
    before, stored = await commit.epoch(owner), concept(owner, "bo")
    await owners.erase(owner, None)
    with pytest.raises(Erased):
        async with commit(owner, holdings([stored]), epoch=before) as write:
            write.moment = await memory.put(stored, expected_version=None)
    assert await quotas.held("contract") == Amounts()
    async with commit(owner, holdings([stored]), epoch=await commit.epoch(owner)) as write:
        write.moment = await memory.put(stored, expected_version=None)
    assert await quotas.held("contract") == holdings([stored])
