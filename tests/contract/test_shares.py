"""Sharing within a household: consent, freshness and ends, on real catalogues, memories and caches."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.shares import SqlShares
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.redis_cache import RedisCache
from rap_serve.adapters.sealed_memory import SealedMemory
from rap_serve.domain.catalogue import Attempt
from rap_serve.domain.concept import Concept, Owner, new_ulid
from rap_serve.domain.errors import ConceptNotFound, InvalidInput, NotFound
from rap_serve.domain.ports import Cache, ConceptMemory, Moment
from rap_serve.domain.share import Share
from rap_serve.domain.tenancy import Tenant
from rap_serve.services.household import RecallShared
from rap_serve.services.recall import Recall
from rap_serve.services.share import ShareConcepts
from tests.contract.conftest import SPACE, RedisServer, concept
from tests.contract.in_process import models_of

pytestmark = pytest.mark.parametrize("milvus_uri", ["lite"], indirect=True)  # what follows is not the memory's part


class CountedShares(SqlShares):
    """The real ones, counting how often they are asked what was accepted."""

    asked = 0

    async def accepted(self, taker: Owner) -> Sequence[Share]:
        """See Shares."""
        self.asked += 1
        return await super().accepted(taker)


@dataclass
class Gateway:
    """What one gateway makes of catalogue, memory and cache."""

    tenant: str
    owners: SqlOwners
    shares: CountedShares
    memory: ConceptMemory
    cache: Cache
    share: ShareConcepts
    recall_shared: RecallShared

    @property
    def ann(self) -> Owner:
        """A user who gives."""
        return Owner(self.tenant, "ann")

    @property
    def ben(self) -> Owner:
        """A user who takes."""
        return Owner(self.tenant, "ben")

    @property
    def cid(self) -> Owner:
        """A user who is not asked."""
        return Owner(self.tenant, "cid")

    async def stored(self, owner: Owner, name: str, **fields: object) -> Concept:
        """A concept of the owner's, which is there already under that name where ``version`` is above 1."""
        made = concept(owner, name, **fields)
        async with self.cache.writing(owner) as write:
            version = None if made.version == 1 else made.version - 1
            write.moment = await self.memory.put(made, expected_version=version, after=write.after)
        return made

    async def deleted(self, gone: Concept) -> None:
        """Takes it away again."""
        async with self.cache.writing(gone.owner) as write:
            _, write.moment = await self.memory.delete(gone.owner, gone.id, after=write.after)

    async def accepted(self, giver: Owner, taker: Owner, *concepts: Concept) -> Share:
        """A share that both agreed to."""
        offered = await self.share.offer(giver, taker.user, [c.id for c in concepts] or None)
        return await self.share.accept(taker, offered.id)

    async def names(self, owner: Owner) -> list[str]:
        """What the owner's questions may be about."""
        return [c.name for c in (await self.recall_shared(owner)).concepts]


def gateway(tenant: str, database: Database, memory: MilvusMemory, cache: Cache) -> Gateway:
    """A gateway over these."""
    owners, shares = SqlOwners(database, master_key=b"m" * 32), CountedShares(database)
    sealed = SealedMemory(memory, owners, space=SPACE)
    recall = Recall(sealed, cache, models_of(SPACE))
    return Gateway(
        tenant=tenant,
        owners=owners,
        shares=shares,
        memory=sealed,
        cache=cache,
        share=ShareConcepts(shares=shares, owners=owners, recall=recall, cache=cache),
        recall_shared=RecallShared(recall=recall, cache=cache, shares=shares),
    )


async def tenant_in(database: Database) -> str:
    """A fresh tenant."""
    tenant = f"t-{new_ulid()}"
    await SqlTenants(database).add(Tenant(id=tenant), None)
    return tenant


@pytest.fixture
async def home(database: Database, memory: MilvusMemory) -> Gateway:
    """The only gateway of a fresh tenant."""
    return gateway(await tenant_in(database), database, memory, LocalCache(max_bytes=10_000_000))


@pytest.fixture
async def gateways(
    tmp_path: str, memory: MilvusMemory, redis_server: RedisServer
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways of one tenant, on one catalogue and one Redis."""
    databases = [Database(f"sqlite:///{tmp_path}/two.sqlite3") for _ in range(2)]
    tenant, caches = await tenant_in(databases[0]), []
    for database in databases:
        seals = SqlOwners(database, master_key=b"m" * 32)
        caches.append(RedisCache(redis_server.url, seals=seals, embedder_version="tiny-1", timeout_seconds=0.5))
    one, two = (gateway(tenant, d, memory, c) for d, c in zip(databases, caches, strict=True))
    yield one, two
    for cache, database in zip(caches, databases, strict=True):
        await cache.close()
        await database.close()


async def test_what_is_offered_is_unknown_until_it_is_accepted(home: Gateway) -> None:
    """Then it comes behind one's own; the giver learns nothing in return."""
    await home.stored(home.ann, "bo")
    await home.stored(home.ben, "cup")
    offered = await home.share.offer(home.ann, "ben", None)
    assert (offered.state, await home.names(home.ben)) == ("offered", ["cup"])
    accepted = await home.share.accept(home.ben, offered.id)
    assert accepted == replace(offered, accepted_at=accepted.accepted_at) and accepted.state == "accepted"
    assert await home.names(home.ben) == ["cup", "bo"] and await home.names(home.ann) == ["bo"]
    assert await home.share.accept(home.ben, offered.id) == accepted


async def test_what_the_giver_does_is_seen_at_once(home: Gateway) -> None:
    """Edits, deletions, and where all is shared what is new."""
    bo = await home.stored(home.ann, "bo")
    await home.accepted(home.ann, home.ben)
    assert await home.names(home.ben) == ["bo"]
    await home.stored(home.ann, "bo", id=bo.id, version=2, info="Now black.")
    assert [c.info for c in (await home.recall_shared(home.ben)).concepts] == ["Now black."]
    rex = await home.stored(home.ann, "rex")
    await home.deleted(bo)
    assert await home.names(home.ben) == ["rex"]
    await home.deleted(rex)
    assert await home.names(home.ben) == []


async def test_a_list_of_concepts_shares_no_others(home: Gateway) -> None:
    """Now or later; an id that is not there is refused, another user's too."""
    bo, _ = await home.stored(home.ann, "bo"), await home.stored(home.ann, "rex")
    await home.accepted(home.ann, home.ben, bo)
    await home.stored(home.ann, "tom")
    assert await home.names(home.ben) == ["bo"]
    cup = await home.stored(home.ben, "cup")
    for unknown in ("01", cup.id):
        with pytest.raises(ConceptNotFound):
            await home.share.offer(home.ann, "ben", [bo.id, unknown])


@pytest.mark.parametrize("side", ["ann", "ben"])
async def test_either_side_ends_a_share(home: Gateway, side: str) -> None:
    """Gone with the taker's next request, for good; who ends it again is told that there is none."""
    await home.stored(home.ann, "bo")
    share = await home.accepted(home.ann, home.ben)
    assert await home.names(home.ben) == ["bo"]
    owner = Owner(home.tenant, side)
    await home.share.end(owner, share.id)
    assert await home.names(home.ben) == []
    for call in (home.share.end(owner, share.id), home.share.accept(home.ben, share.id)):
        with pytest.raises(NotFound):
            await call
    await home.share.end(owner, share.id, attempt=Attempt(home.tenant, "k", "w", 2))


async def test_nobody_else_has_a_say(home: Gateway) -> None:
    """Neither a third user nor a namesake in another tenant; and the giver cannot accept for the taker."""
    await home.stored(home.ann, "bo")
    offered = await home.share.offer(home.ann, "ben", None)
    for other in (home.cid, Owner("other", "ben"), Owner("other", "ann")):
        for call in (home.share.accept(other, offered.id), home.share.end(other, offered.id)):
            with pytest.raises(NotFound):
                await call
        assert await home.share.page(other, after="", limit=10) == [] and await home.names(other) == []
    with pytest.raises(NotFound):
        await home.share.accept(home.ann, offered.id)
    await home.share.accept(home.ben, offered.id)
    assert await home.names(Owner("other", "ben")) == [] and await home.names(home.cid) == []


async def test_what_is_shared_is_not_shared_on(home: Gateway) -> None:
    """A share covers the giver's own concepts alone."""
    await home.stored(home.ann, "bo")
    await home.stored(home.ben, "cup")
    await home.accepted(home.ann, home.ben)
    await home.accepted(home.ben, home.cid)
    assert await home.names(home.cid) == ["cup"]


async def test_both_sides_see_what_a_share_covers(home: Gateway) -> None:
    """Offers too, in pages, under the giver's own names."""
    bo, rex = await home.stored(home.ann, "bo"), await home.stored(home.ann, "rex")
    await home.stored(home.ben, "bo")
    some = await home.share.offer(home.ann, "ben", [bo.id])
    everything = await home.accepted(home.ann, home.ben)
    back = await home.share.offer(home.ben, "ann", None)
    expected = sorted([(some.id, ["bo"]), (everything.id, ["bo", "rex"]), (back.id, ["bo"])])
    for owner in (home.ann, home.ben):
        first = await home.share.page(owner, after="", limit=2)
        rest = await home.share.page(owner, after=first[-1][0].id, limit=2)
        assert [(s.id, [c.name for c in covered]) for s, covered in (*first, *rest)] == expected
    await home.deleted(rex)
    assert {tuple(c.name for c in covered) for _, covered in await home.share.page(home.ben, after="", limit=9)} == {
        ("bo",)
    }


async def test_an_offer_to_nobody_is_like_any_other(home: Gateway) -> None:
    """Nothing is told of who exists; with oneself nothing is shared."""
    await home.stored(home.ben, "cup")
    offers = [await home.share.offer(home.ann, user, None) for user in ("ben", "nobody")]
    assert {(o.state, o.concepts, o.giver) for o in offers} == {("offered", None, home.ann)}
    assert await home.owners.page(home.tenant, after="", limit=10) == ["ann", "ben"]
    for user in ("ann", "a/b", ""):
        with pytest.raises(InvalidInput):
            await home.share.offer(home.ann, user, None)


async def test_users_without_shares_cost_the_catalogue_nothing(home: Gateway) -> None:
    """Once they are known; their library is the very one that is kept. Nor do users with shares."""
    await home.stored(home.ben, "cup")
    first = await home.recall_shared(home.ben)
    assert await home.recall_shared(home.ben) is first and home.shares.asked == 1
    await home.stored(home.ann, "bo")
    await home.accepted(home.ann, home.ben)
    joined = await home.recall_shared(home.ben)
    assert await home.recall_shared(home.ben) is joined is not first and home.shares.asked == 2
    async with home.cache.writing(home.ben):
        assert await home.names(home.ben) == ["cup", "bo"] and home.shares.asked == 3


async def test_a_share_leaves_the_moment_of_the_last_write(home: Gateway) -> None:
    """Memory was not written, so its reader still need not wait for more."""
    async with home.cache.writing(home.ben) as write:
        write.moment = Moment(7)
    share = await home.accepted(home.ann, home.ben)
    await home.share.end(home.ben, share.id)
    generation = await home.cache.generation(home.ben)
    assert generation is not None and generation.moment == 7


async def test_every_change_is_seen_by_the_next_request_of_any_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    """Shares begun and ended and concepts edited through one, read through the other, in any order."""
    rng, (one, two) = random.Random(5), gateways
    bo, share, version = await one.stored(one.ann, "bo"), None, 1
    await one.stored(one.ben, "cup")
    for _ in range(60):
        writer, reader = rng.sample((one, two), 2)
        if rng.random() < 0.3:
            version += 1
            await writer.stored(one.ann, "bo", id=bo.id, version=version, info=str(version))
        elif share is None:
            share = await writer.share.offer(one.ann, "ben", rng.choice([None, [bo.id]]))
            assert await reader.names(one.ben) == ["cup"]
            await reader.share.accept(one.ben, share.id)
            writer, reader = reader, writer
        else:
            await writer.share.end(rng.choice([one.ann, one.ben]), share.id)
            share = None
        known = (await reader.recall_shared(one.ben)).concepts
        assert [c.name for c in known] == (["cup"] if share is None else ["cup", "bo"])
        assert share is None or known[1].version == version


async def test_no_crowd_of_readers_keeps_what_has_ended(gateways: tuple[Gateway, Gateway]) -> None:
    """However they fall between the change and the word of it."""
    one, two = gateways
    await one.stored(one.ann, "bo")
    over = False

    async def read(reader: Gateway) -> None:
        while not over:
            await reader.names(one.ben)
            await asyncio.sleep(0)

    crowd = [asyncio.create_task(read(reader)) for reader in (one, two, one, two)]
    try:
        for _ in range(15):
            share = await one.accepted(one.ann, one.ben)
            assert await two.names(one.ben) == ["bo"]
            await two.share.end(one.ben, share.id)
            assert await one.names(one.ben) == [] == await two.names(one.ben)
    finally:
        over = True
        await asyncio.gather(*crowd)
