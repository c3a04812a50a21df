"""What every cache promises, and how the shared one behaves when Redis or a writer fails."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rap_serve.adapters.cache_codec import decode_features, decode_library, encode_features, encode_library
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.redis_cache import STORING_AT_ONCE, Breaker, RedisAway, RedisCache
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.library import Library
from rap_serve.domain.lru import ByteLru
from rap_serve.domain.ports import Cache, Features, Generation, Moment
from rap_serve.domain.region import Region
from tests.contract.conftest import DIM, SPACE, RedisServer, concept, unit_vector, vector_of


def library_of(owner: Owner, *names: str) -> Library:
    """A library with one concept per name."""
    return Library.of([concept(owner, n, avatars=2, info=f'"{n}" \ud800 🐢') for n in names], SPACE)


def features() -> Features:
    """What a picture of two things would give."""
    regions = (Region((0.0, 0.5, 10.25, 20.0), "dog", 0.75), Region((0.0, 0.0, 64.0, 64.0), "picture", 1.0))
    return Features(regions, np.stack([unit_vector(), unit_vector()]))


def names(library: Library | None) -> list[str] | None:
    """The names in it, sorted; None where there is no library."""
    return None if library is None else sorted(c.name for c in library.concepts)


def gateway(server: RedisServer, **options: object) -> RedisCache:
    """One gateway's cache; patient, as the machine under test may be busy."""
    settings = {"timeout_seconds": 0.5, "embedder_version": "tiny-1", "seals": seals_of(server), **options}
    return RedisCache(server.url, **settings)  # type: ignore[arg-type]


def seals_of(server: RedisServer) -> SqlOwners:
    """The seals of whoever stores anything beside that server."""
    return SqlOwners(Database(f"sqlite:///{server.folder / 'owners.sqlite3'}"), master_key=b"m" * 32)


async def generation_of(cache: Cache, owner: Owner) -> Generation:
    """The generation, which there must be."""
    generation = await cache.generation(owner)
    assert generation is not None
    return generation


@pytest.fixture(params=["local", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    """Each implementation."""
    if request.param == "local":
        yield LocalCache(max_bytes=10_000_000)
        return
    shared = gateway(request.getfixturevalue("redis_server"))
    yield shared
    await shared.close()


@pytest.fixture
async def two_gateways(redis_server: RedisServer) -> AsyncIterator[tuple[RedisCache, RedisCache]]:
    """Two gateways on one Redis."""
    pair = gateway(redis_server), gateway(redis_server)
    yield pair
    for each in pair:
        await each.close()


async def test_a_stored_library_comes_back_under_its_generation(cache: Cache, owner: Owner) -> None:
    """And under no other."""
    generation = await generation_of(cache, owner)
    assert await cache.library(owner, generation) is None
    await cache.store_library(owner, generation, library_of(owner, "Bo", "Rex"))
    assert names(await cache.library(owner, generation)) == ["Bo", "Rex"]
    assert await cache.generation(owner) == generation
    assert await cache.library(owner, Generation("another")) is None
    assert await cache.available()


async def test_owners_have_nothing_in_common(cache: Cache, owner: Owner) -> None:
    """Neither generations nor libraries nor features."""
    other = Owner(owner.tenant, new_ulid())
    generation = await generation_of(cache, owner)
    await cache.store_library(owner, generation, library_of(owner, "Bo"))
    await cache.store_features(owner, "picture", features())
    assert await cache.generation(other) != generation
    assert await cache.library(other, generation) is None
    assert await cache.features(other, "picture") is None
    async with cache.writing(other):
        pass
    assert await cache.generation(owner) == generation


async def test_after_a_write_nothing_older_is_served(cache: Cache, owner: Owner) -> None:
    """Not even what a slow reader stores under the old generation later on."""
    before = await generation_of(cache, owner)
    await cache.store_library(owner, before, library_of(owner, "old"))
    async with cache.writing(owner):
        pass
    after = await generation_of(cache, owner)
    assert after != before
    assert await cache.library(owner, after) is None
    await cache.store_library(owner, before, library_of(owner, "old"))
    assert await cache.library(owner, after) is None
    assert await cache.generation(owner) == after


async def test_while_a_write_goes_on_readers_use_no_copy(cache: Cache, owner: Owner) -> None:
    """There is no generation to read or to store under."""
    async with cache.writing(owner):
        assert await cache.generation(owner) is None
    assert await cache.generation(owner) is not None


async def test_a_write_that_failed_replaces_the_generation_too(cache: Cache, owner: Owner) -> None:
    """It may have been committed all the same."""
    before = await generation_of(cache, owner)
    with pytest.raises(RuntimeError):
        async with cache.writing(owner):
            raise RuntimeError
    assert await generation_of(cache, owner) != before


async def test_a_generation_says_when_its_owner_wrote_last(cache: Cache, owner: Owner) -> None:
    """The next writer learns it too. Nobody knows it at first, nor after a write that did not say."""
    assert (await generation_of(cache, owner)).moment is None
    latest = Moment(470_724_257_091_158_017)
    async with cache.writing(owner) as write:
        assert write.after is None
        write.moment = latest
    assert (await generation_of(cache, owner)).moment == latest
    with pytest.raises(RuntimeError):
        async with cache.writing(owner) as write:
            assert write.after == latest
            raise RuntimeError
    assert (await generation_of(cache, owner)).moment is None
    async with cache.writing(owner) as write:
        assert write.after is None
        write.moment = Moment(latest + 1)
    assert (await generation_of(cache, owner)).moment == latest + 1
    assert (await generation_of(cache, Owner(owner.tenant, new_ulid()))).moment is None


async def test_features_come_back_bit_by_bit(cache: Cache, owner: Owner) -> None:
    """Regions and embeddings."""
    stored = features()
    await cache.store_features(owner, "picture", stored)
    found = await cache.features(owner, "picture")
    assert found is not None
    assert found.regions == stored.regions
    np.testing.assert_array_equal(found.embeddings, stored.embeddings)
    assert await cache.features(owner, "another picture") is None


async def test_no_interleaving_of_readers_and_writers_serves_a_stale_copy(cache: Cache, owner: Owner) -> None:
    """A reader never gets less than what was acknowledged before it asked."""
    chooser = random.Random(3)
    committed = acknowledged = 0

    async def pause() -> None:
        await asyncio.sleep(chooser.random() * 0.003)

    async def write() -> None:
        nonlocal committed, acknowledged
        for _ in range(15):
            async with cache.writing(owner):
                await pause()
                committed += 1
                mine = committed
                await pause()
            acknowledged = max(acknowledged, mine)
            await pause()

    async def read(writing: asyncio.Future[Any]) -> None:
        while not writing.done():
            expected = acknowledged
            generation = await cache.generation(owner)
            found = None if generation is None else await cache.library(owner, generation)
            if found is None:
                seen = committed
                await pause()
                if generation is not None:
                    await cache.store_library(owner, generation, library_of(owner, str(seen)))
            else:
                seen = int(found.concepts[0].name)
            assert seen >= expected
            await pause()

    everything = asyncio.gather(write(), write())
    await asyncio.gather(*(read(everything) for _ in range(4)))
    generation = await generation_of(cache, owner)
    found = await cache.library(owner, generation)
    assert found is None or found.concepts[0].name == str(committed)


async def test_a_gateway_sees_what_another_wrote(
    redis_server: RedisServer, two_gateways: tuple[RedisCache, RedisCache], owner: Owner
) -> None:
    """The copies are shared, and so is their end."""
    one, two = two_gateways
    await seals_of(redis_server).made(owner)
    generation = await generation_of(one, owner)
    await one.store_library(owner, generation, library_of(owner, "Bo"))
    assert await two.generation(owner) == generation
    assert names(await two.library(owner, generation)) == ["Bo"]
    async with two.writing(owner):
        assert await one.generation(owner) is None
    assert await generation_of(one, owner) != generation


async def test_a_writer_that_lost_its_mark_leaves_no_moment(redis_server: RedisServer, owner: Owner) -> None:
    """Another gateway took it over, and may have written later; nor does a mark that was left say when."""
    slow, other = gateway(redis_server, lease_seconds=0.2), gateway(redis_server)
    async with slow.writing(owner) as late:
        late.moment = Moment(5)
        await asyncio.sleep(0.3)
        async with other.writing(owner) as write:
            assert write.after is None
            write.moment = Moment(6)
        assert (await generation_of(other, owner)).moment == 6
    assert (await generation_of(other, owner)).moment is None
    dying = slow.writing(owner)
    await dying.__aenter__()
    await asyncio.sleep(0.3)
    assert (await generation_of(other, owner)).moment is None
    for each in (slow, other):
        await each.close()


async def test_writers_of_two_gateways_take_turns(two_gateways: tuple[RedisCache, RedisCache], owner: Owner) -> None:
    """So that a check and its write are one."""
    inside = most = 0

    async def write(cache: RedisCache) -> None:
        nonlocal inside, most
        for _ in range(5):
            async with cache.writing(owner):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.002)
                inside -= 1

    await asyncio.gather(*(write(cache) for cache in (*two_gateways, *two_gateways)))
    assert most == 1


async def test_the_mark_of_a_dead_writer_is_settled(redis_server: RedisServer, owner: Owner) -> None:
    """Until its lease ends readers use no copy; then the first one replaces the generation."""
    reader, writer = gateway(redis_server), gateway(redis_server, lease_seconds=0.3)
    before = await generation_of(reader, owner)
    await reader.store_library(owner, before, library_of(owner, "old"))
    dying = writer.writing(owner)
    await dying.__aenter__()
    assert await reader.generation(owner) is None
    await asyncio.sleep(0.35)
    after = await generation_of(reader, owner)
    assert after != before
    assert await reader.library(owner, after) is None
    async with asyncio.timeout(1.0), reader.writing(owner):
        pass
    for each in (reader, writer):
        await each.close()


async def test_a_writer_does_not_wait_for_a_dead_one_beyond_its_lease(redis_server: RedisServer, owner: Owner) -> None:
    """It takes the mark over."""
    dead, alive = gateway(redis_server, lease_seconds=0.3), gateway(redis_server)
    dying = dead.writing(owner)
    await dying.__aenter__()
    started = time.monotonic()
    async with alive.writing(owner):
        assert time.monotonic() - started >= 0.2
    assert await alive.generation(owner) is not None
    for each in (dead, alive):
        await each.close()


@pytest.mark.parametrize("how", ["flushed", "restarted"])
async def test_a_redis_that_lost_its_state_starts_cold(own_redis: RedisServer, owner: Owner, how: str) -> None:
    """No generation of before is believed, nor is one that comes back from an old snapshot."""
    cache = gateway(own_redis)
    before = await generation_of(cache, owner)
    await cache.store_library(owner, before, library_of(owner, "old"))
    if how == "flushed":
        await cache._redis.flushall()
    else:
        own_redis.kill()
        own_redis.start(fresh=True)
        await asyncio.sleep(1.1)
        await cache._redis.set(f"rap:1:{{{owner.scope}}}:g", before.id)
    assert await cache.generation(owner) is None
    own_redis.grow_old()
    after = await generation_of(cache, owner)
    assert after != before
    assert await cache.library(owner, after) is None
    await cache.close()


async def test_after_redis_lost_marks_nobody_uses_copies_for_a_lease(own_redis: RedisServer, owner: Owner) -> None:
    """A write that was under way may commit after somebody else has read, and find no Redis to say so."""
    writer, reader = (gateway(own_redis, lease_seconds=1.0, timeout_seconds=0.2) for _ in range(2))
    assert own_redis.process is not None
    async with writer.writing(owner) as write:
        assert write.alone
        await reader._redis.flushall()
        assert await reader.generation(owner) is None
        async with reader.writing(owner) as other:
            assert not other.alone and other.after is None
            other.moment = Moment(6)
        own_redis.process.send_signal(signal.SIGSTOP)
    own_redis.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(0.05)
    assert await reader.generation(owner) is None
    await asyncio.sleep(1.0)
    assert (await generation_of(reader, owner)).moment is None
    for each in (writer, reader):
        await each.close()


async def test_what_redis_hears_late_of_one_write_does_not_end_the_next(
    two_gateways: tuple[RedisCache, RedisCache], owner: Owner
) -> None:
    """A Redis that hung does then what it was told before, when another write of the same gateway is under way."""
    one, two = two_gateways
    async with one.writing(owner):
        earlier = one._unsettled[owner.scope]
    async with one.writing(owner):
        now, one._unsettled[owner.scope] = one._unsettled[owner.scope], earlier
        await one._settle(owner, Moment(5))
        one._unsettled[owner.scope] = now
        assert await two.generation(owner) is None
    assert (await generation_of(two, owner)).moment is None


async def test_without_redis_readers_go_to_memory(own_redis: RedisServer, owner: Owner) -> None:
    """Every answer is None, quickly, and nothing raises."""
    cache = gateway(own_redis, timeout_seconds=0.2, local_bytes=0)
    generation = await generation_of(cache, owner)
    own_redis.kill()
    started = time.monotonic()
    for _ in range(20):
        assert await cache.generation(owner) is None
        assert await cache.library(owner, generation) is None
        await cache.store_library(owner, generation, library_of(owner, "Bo"))
        await cache.store_features(owner, "picture", features())
        assert await cache.features(owner, "picture") is None
        assert not await cache.available()
    assert time.monotonic() - started < 3.0
    own_redis.start()
    await asyncio.sleep(1.1)
    assert await cache.available()
    assert await cache.generation(owner) is not None
    await cache.close()


async def test_a_redis_that_hangs_costs_little(own_redis: RedisServer, owner: Owner) -> None:
    """Timeouts are short, and after a few of them nobody waits."""
    cache = gateway(own_redis, timeout_seconds=0.2)
    assert await cache.available()
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    for _ in range(30):
        assert await cache.generation(owner) is None
    assert time.monotonic() - started < 3.0
    own_redis.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(1.1)
    assert await cache.generation(owner) is not None
    await cache.close()


async def test_without_redis_one_of_several_gateways_refuses_to_write(own_redis: RedisServer, owner: Owner) -> None:
    """Another might still serve a copy from before."""
    cache = gateway(own_redis)
    await generation_of(cache, owner)
    own_redis.kill()
    with pytest.raises(Unavailable, match="shared cache"):
        async with cache.writing(owner):
            raise AssertionError("a write without a mark")
    own_redis.start()
    await asyncio.sleep(1.1)
    async with cache.writing(owner):
        assert await cache.generation(owner) is None
    assert await cache.generation(owner) is not None
    await cache.close()


async def test_a_write_outlasts_a_redis_that_hangs_for_a_moment(own_redis: RedisServer, owner: Owner) -> None:
    """Nobody is refused since a busy machine let a call or two time out; what is read afterwards has no moment."""
    cache = gateway(own_redis, timeout_seconds=0.1)
    before = await generation_of(cache, owner)
    process = own_redis.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    asyncio.get_running_loop().call_later(0.7, process.send_signal, signal.SIGCONT)
    async with cache.writing(owner) as write:
        assert write.alone
        assert await cache.generation(owner) is None
    assert (await generation_of(cache, owner)).id != before.id
    await cache.close()


async def test_a_sole_gateway_writes_on_and_trusts_no_copy_from_before(own_redis: RedisServer, owner: Owner) -> None:
    """Redis hangs during a write, and comes back with everything it knew."""
    cache = gateway(own_redis, sole_gateway=True, timeout_seconds=0.2)
    untouched = Owner(owner.tenant, new_ulid())
    before, kept = await generation_of(cache, owner), await generation_of(cache, untouched)
    await cache.store_library(owner, before, library_of(owner, "old"))
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    async with cache.writing(owner) as write:
        write.moment = Moment(6)
    assert await cache.generation(owner) is None
    own_redis.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(1.1)
    after = await generation_of(cache, owner)
    assert after != before and after.moment is None
    assert await cache.library(owner, after) is None
    assert await cache.generation(untouched) == kept
    await cache.close()


async def test_a_sole_gateway_starts_cold(redis_server: RedisServer, owner: Owner) -> None:
    """What an earlier one knew of unsettled owners died with it."""
    earlier, later = gateway(redis_server, sole_gateway=True), gateway(redis_server, sole_gateway=True)
    before = await generation_of(earlier, owner)
    assert await later.generation(owner) != before
    for each in (earlier, later):
        await each.close()


async def test_a_writer_that_loses_redis_midway_leaves_no_stale_copy(own_redis: RedisServer, owner: Owner) -> None:
    """Redis hangs when the write ends: the mark stays, so that no gateway reads until one settles it."""
    writer = gateway(own_redis, timeout_seconds=0.2, lease_seconds=2.0)
    reader = gateway(own_redis, timeout_seconds=0.2)
    before = await generation_of(reader, owner)
    await reader.store_library(owner, before, library_of(owner, "old"))
    assert own_redis.process is not None
    async with writer.writing(owner):
        own_redis.process.send_signal(signal.SIGSTOP)
    own_redis.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(0.05)
    assert await reader.generation(owner) != before
    await asyncio.sleep(2.0)
    assert await generation_of(reader, owner) != before
    for each in (writer, reader):
        await each.close()


async def test_copies_do_not_stay_forever(redis_server: RedisServer, owner: Owner) -> None:
    """All keys of an owner expire, and a write drops the copy it made useless."""
    cache = gateway(redis_server)
    await seals_of(redis_server).made(owner)
    generation = await generation_of(cache, owner)
    await cache.store_library(owner, generation, library_of(owner, "Bo"))
    await cache.store_features(owner, "picture", features())
    await cache.close()  # features go to Redis beside the caller
    keys = await cache._redis.keys(f"rap:1:*{owner.user}*")
    assert len(keys) == 3
    assert all([await cache._redis.ttl(k) > 0 for k in keys])
    async with cache.writing(owner):
        pass
    assert not [k for k in await cache._redis.keys(f"rap:1:*{owner.user}*") if b":p:" in k]
    await cache.close()


def test_a_library_round_trips_bit_by_bit(owner: Owner) -> None:
    """Every field, and the embeddings' bits."""
    stored = library_of(owner, "Bo", "Rex", "żółw")
    found = decode_library(owner, encode_library(owner, stored))
    assert found is not None
    assert found.matrix.tobytes() == stored.matrix.tobytes()
    np.testing.assert_array_equal(found.starts, stored.starts)
    for mine, theirs in zip(found.concepts, stored.concepts, strict=True):
        assert [getattr(mine, f) for f in ("id", "owner", "name", "category", "info", "version")] == [
            getattr(theirs, f) for f in ("id", "owner", "name", "category", "info", "version")
        ]
        assert (dict(mine.metadata), mine.info_generated) == (dict(theirs.metadata), theirs.info_generated)
        assert (mine.created_at, mine.updated_at) == (theirs.created_at, theirs.updated_at)
        for a, b in zip(mine.avatars, theirs.avatars, strict=True):
            assert (a.id, a.image_key, a.box_xyxy) == (b.id, b.image_key, b.box_xyxy)
            np.testing.assert_array_equal(vector_of(a), vector_of(b))


def test_a_concept_of_another_embedder_round_trips(owner: Owner) -> None:
    """Its avatars come back without embeddings, and those of its neighbours are not moved."""
    first, old, last = library_of(owner, "a", "b", "c").concepts
    old = replace(old, avatars=tuple(replace(a, embeddings={}) for a in old.avatars))
    stored = Library.of([first, old, last], SPACE)
    found = decode_library(owner, encode_library(owner, stored))
    assert found is not None
    np.testing.assert_array_equal(found.starts, stored.starts)
    assert [len(c.embeddings(SPACE.version)) for c in found.concepts] == [2, 0, 2]
    np.testing.assert_array_equal(vector_of(found.concepts[2].avatars[0]), vector_of(last.avatars[0]))


def test_an_empty_library_round_trips(owner: Owner) -> None:
    """Its width included."""
    found = decode_library(owner, encode_library(owner, Library.of([], SPACE)))
    assert found is not None
    assert (found.concepts, found.matrix.shape, found.starts.shape) == ((), (0, DIM), (0,))


def test_bytes_that_make_no_sense_are_a_miss(owner: Owner) -> None:
    """Cut short, of another kind, of another owner, or not ours at all."""
    data = encode_library(owner, library_of(owner, "Bo"))
    assert decode_library(Owner(owner.tenant, "somebody"), data) is None
    assert decode_features(data) is None
    assert decode_library(owner, encode_features(features())) is None
    for broken in (b"", data[:-1], data + b"x", b"\x93\x02" + data[2:], b"not msgpack"):
        assert decode_library(owner, broken) is None
        assert decode_features(broken) is None


def test_the_local_store_keeps_to_its_size() -> None:
    """What was used longest ago goes first; what is too large is not kept."""
    lru: ByteLru[str] = ByteLru(100)
    lru.put("a", "A", 40)
    lru.put("b", "B", 40)
    assert lru.get("a") == "A"
    lru.put("c", "C", 40)
    assert [lru.get(k) for k in "abc"] == ["A", None, "C"]
    lru.put("d", "D", 101)
    lru.put("a", "A2", 10)
    assert [lru.get(k) for k in "acd"] == ["A2", "C", None]


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    """And lets one through after its pause."""
    breaker = Breaker(limit=2, pause_seconds=0.05)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.check()
    breaker.failed()
    with pytest.raises(RedisAway):
        breaker.check()
    time.sleep(0.06)
    breaker.check()


async def test_what_redis_holds_is_closed(redis_server: RedisServer, owner: Owner) -> None:
    """No name in it, and nothing that opens once the owner was erased."""
    writer, reader, seals = gateway(redis_server), gateway(redis_server), seals_of(redis_server)
    await seals.made(owner)
    generation = await generation_of(writer, owner)
    await writer.store_library(owner, generation, library_of(owner, "Xyzzy"))
    await writer.store_features(owner, "picture", features())
    await writer.close()  # features go to Redis beside the caller
    keys = await writer._redis.keys(f"rap:1:*{owner.user}*:[pf]:*")
    assert len(keys) == 2
    for key in keys:
        value = await writer._redis.get(key)
        assert b"Xyzzy" not in value and b"dog" not in value
    await seals.erase(owner, None)
    assert await reader.library(owner, generation) is None
    assert await reader.features(owner, "picture") is None


async def test_all_copies_of_an_owner_are_dropped_together(cache: Cache, redis_server: RedisServer) -> None:
    """And nobody else's, a neighbour's with a longer name included."""
    owner = Owner("contract", f"a.b-{new_ulid()}")
    neighbour = Owner("contract", owner.user + "x")
    for one in (owner, neighbour):
        await seals_of(redis_server).made(one)
        await cache.store_library(one, await generation_of(cache, one), library_of(one, "Bo"))
        await cache.store_features(one, "picture", features())
    assert await cache.purge(owner) >= 2
    assert await cache.library(owner, await generation_of(cache, owner)) is None
    assert await cache.features(owner, "picture") is None
    assert names(await cache.library(neighbour, await generation_of(cache, neighbour))) == ["Bo"]


async def test_features_reach_the_other_gateways(redis_server: RedisServer, owner: Owner) -> None:
    """Without their maker waiting for it; a purge right afterwards finds them."""
    await seals_of(redis_server).made(owner)
    maker = gateway(redis_server, local_bytes=0)
    await maker.store_features(owner, "picture", features())
    assert await maker.purge(owner) == 1
    await maker.store_features(owner, "picture", features())
    await maker.close()
    other = gateway(redis_server, local_bytes=0)
    found = await other.features(owner, "picture")
    assert found is not None and found.regions == features().regions
    await other.close()


async def test_features_of_a_crowd_are_kept_here_alone(own_redis: RedisServer, owner: Owner) -> None:
    """A Redis that hangs makes nobody wait, and holds no more in this process than it may."""
    cache = gateway(own_redis, timeout_seconds=2.0)
    await seals_of(own_redis).made(owner)
    assert await cache.available()
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    for number in range(3 * STORING_AT_ONCE):
        await cache.store_features(owner, str(number), features())
        assert await cache.features(owner, str(number)) is not None
    assert time.monotonic() - started < 2.0
    assert len(cache._storing) <= STORING_AT_ONCE
    own_redis.process.send_signal(signal.SIGCONT)
    await cache.close()
