"""What the catalogue promises of shares, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.shares import SqlShares
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import Conflict, Erased, NotFound, TenantNotFound
from rap_serve.domain.share import MAX_SHARES, Share
from rap_serve.domain.tenancy import Tenant


async def tenant_in(database: Database) -> str:
    """A fresh tenant."""
    tenant = f"t-{new_ulid()}"
    await SqlTenants(database).add(Tenant(id=tenant), None)
    return tenant


def offer(tenant: str, giver: str = "ann", taker: str = "ben", concepts: frozenset[str] | None = None) -> Share:
    """A fresh one."""
    owners = Owner(tenant, giver), Owner(tenant, taker)
    return Share(id=f"share_{new_ulid()}", giver=owners[0], taker=owners[1], concepts=concepts, created_at=1)


async def test_an_offer_that_says_the_same_is_the_same(databases: tuple[Database, Database]) -> None:
    """However many gateways are told at once; accepted or not, until it ends."""
    here, there = (SqlShares(database) for database in databases)
    tenant = await tenant_in(databases[0])
    made = await asyncio.gather(*((here, there)[n % 2].offer(offer(tenant), epoch=1) for n in range(10)))
    assert len({share.id for share in made}) == 1
    some = await here.offer(offer(tenant, concepts=frozenset("ab")), epoch=1)
    assert some.id != made[0].id
    assert (await there.offer(offer(tenant, concepts=frozenset("ba")), epoch=1)).id == some.id
    accepted = await there.accept(Owner(tenant, "ben"), some.id, at=9)
    assert await here.offer(offer(tenant, concepts=frozenset("ab")), epoch=1) == accepted
    assert list(await here.accepted(Owner(tenant, "ben"))) == [accepted]
    await here.end(accepted)
    assert (await there.offer(offer(tenant, concepts=frozenset("ab")), epoch=1)).id != some.id


@pytest.mark.parametrize("side", ["giver", "taker"])
async def test_a_user_gives_and_takes_so_many_shares(databases: tuple[Database, Database], side: str) -> None:
    """To the unit, under a crowd; what ends makes room."""
    here, there = (SqlShares(database) for database in databases)
    tenant = await tenant_in(databases[0])
    offers = [offer(tenant, **{"giver": f"a{n}", "taker": f"b{n}", side: "ann"}) for n in range(MAX_SHARES + 6)]
    made = await asyncio.gather(
        *((here, there)[n % 2].offer(share, epoch=1) for n, share in enumerate(offers)), return_exceptions=True
    )
    kept = [share for share in made if isinstance(share, Share)]
    assert len(kept) == MAX_SHARES and all(isinstance(m, Share | Conflict) for m in made)
    await here.end(kept[0])
    again = offer(tenant, **{"giver": "x", "taker": "y", side: "ann"})
    assert await there.offer(again, epoch=1) == again


async def test_an_offer_of_an_erased_user_is_refused(databases: tuple[Database, Database]) -> None:
    """What it gave and took is not found any more, and listed until somebody forgets it."""
    shares, owners = SqlShares(databases[0]), SqlOwners(databases[1], master_key=b"m" * 32)
    tenant = await tenant_in(databases[0])
    ann, ben = Owner(tenant, "ann"), Owner(tenant, "ben")
    given = await shares.offer(offer(tenant), epoch=1)
    await shares.accept(ben, given.id, at=5)
    taken = await shares.offer(offer(tenant, giver="ben", taker="ann"), epoch=1)
    other = await shares.offer(offer(tenant, giver="ben", taker="cid"), epoch=1)
    await owners.erase(ann, None)
    assert await shares.accepted(ben) == [] == await shares.page(ann, after="", limit=10)
    assert [s.id for s in await shares.page(ben, after="", limit=10)] == [other.id]
    for call in (shares.get(ben, given.id), shares.accept(ann, taken.id, at=6)):
        with pytest.raises(NotFound):
            await call
    assert sorted(s.id for s in await shares.ended(ann)) == sorted([given.id, taken.id])
    for share in await shares.ended(ann):
        await shares.end(share)
    assert await shares.ended(ann) == []
    with pytest.raises(Erased):
        await shares.offer(offer(tenant), epoch=1)
    assert (await shares.offer(offer(tenant), epoch=2)).state == "offered"
    with pytest.raises(TenantNotFound):
        await shares.offer(offer("nobody"), epoch=1)
