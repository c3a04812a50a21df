"""The cache that gateways share, in Redis.

A library is kept under its owner's generation. A writer first sets the owner's mark, then writes to memory,
then replaces the generation and takes its mark away, the latter two in one script. While there is a mark,
readers use no copy and make none. Afterwards no reader can learn the old generation, so what was kept
under it is out of reach, whenever it was stored.

A mark carries a lease and does not expire by itself: whoever meets one past its lease replaces the
generation and then removes the mark, as its writer may have committed before it died. Marks exclude each
other, so writers of one owner on several gateways take turns.

For the same reason the moment of a writer that still holds its mark is the owner's last, and the new generation
carries it. A writer that lost its mark, failed, or had none leaves a generation without a moment.

A generation starts with the server's ``run_id``: after a restart or a failover, what was restored from an
older state is not believed.

A Redis that was emptied, or that fell back to an older state, has lost the marks of writes under way. It knows since
when it knows all: for one lease from then on readers use no copy and make none, and a writer is told that others may be
at work (``Write.alone``).
"""

import asyncio
import contextlib
import hashlib
import itertools
import random
import re
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rap_serve.adapters.cache_codec import decode_features, decode_library, encode_features, encode_library
from rap_serve.adapters.local_cache import features_bytes, fresh_generation, library_bytes
from rap_serve.adapters.redis_scripts import BEGIN, END, READ
from rap_serve.domain.catalogue import Seals
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.library import Library
from rap_serve.domain.lru import ByteLru
from rap_serve.domain.ports import Features, Generation, Moment, Write

T = TypeVar("T")

TTL_SECONDS = 3_600
GENERATION_TTL_SECONDS = 86_400
MAX_PACK_BYTES = 16_000_000
TURN_SECONDS = 5.0
AWAY_SECONDS = 2.0  # a busy machine lets a call to Redis time out now and then, and a write that was refused costs more
POLL_SECONDS = 0.02
STORING_AT_ONCE = 64  # pictures whose features are on their way to Redis; of more, only this gateway keeps them
SINCE = "rap:1:since"


class RedisCache:
    """See the module. Without Redis nothing is kept, readers go to memory, and ``available`` is False.

    Writers then depend on ``sole_gateway``. If this process is the only one that reads and writes, they
    go on, and the owners that they wrote are bypassed until their generation could be replaced. If it
    is not, they fail: another gateway might still reach Redis and serve a copy from before.
    """

    def __init__(
        self,
        url: str,
        *,
        seals: Seals,
        embedder_version: str,
        timeout_seconds: float = 0.05,
        local_bytes: int = 64_000_000,
        sole_gateway: bool = False,
        lease_seconds: float = 60.0,
    ) -> None:
        """``lease_seconds``: more than any write to memory can take. Connects on first use."""
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
        self._read = self._redis.register_script(READ)
        self._begin = self._redis.register_script(BEGIN)
        self._end = self._redis.register_script(END)
        self._seals = seals
        self._embedder = hashlib.sha256(embedder_version.encode()).hexdigest()[:16]
        self._sole_gateway = sole_gateway
        self._lease_ms = round(lease_seconds * 1_000)
        self._gateway = fresh_generation()
        self._writes = itertools.count()
        # Of a sole gateway's writes no mark can be missing: it knows them all.
        self._unsure_ms = 0 if sole_gateway else self._lease_ms
        # What a sole gateway knows of unsettled owners dies with it, so the next one starts cold.
        self._epoch = f"+{self._gateway}" if sole_gateway else ""
        self._breaker = Breaker()
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._unsettled: dict[str, str] = {}
        self._libraries: ByteLru[tuple[Generation, Library]] = ByteLru(local_bytes)
        self._features: ByteLru[Features] = ByteLru(local_bytes // 4)
        self._storing: set[asyncio.Task[None]] = set()

    async def generation(self, owner: Owner) -> Generation | None:
        """See Cache."""
        turn = self._turn(owner)
        if turn.locked():
            return None
        try:
            if owner.scope in self._unsettled:
                async with turn:
                    await self._settle(owner, None)
            found = await self._try(lambda: self._read(_keys(owner), self._arguments()))
        except Unavailable:
            return None
        return None if found is None else _generation(found)

    async def library(self, owner: Owner, generation: Generation) -> Library | None:
        """See Cache."""
        kept = self._libraries.get(owner.scope)
        if kept is not None and kept[0] == generation:
            return kept[1]
        data = await self._opened(owner, self._pack_key(owner, generation))
        library = None if data is None else await asyncio.to_thread(decode_library, owner, data)
        if library is not None:
            self._libraries.put(owner.scope, (generation, library), library_bytes(library))
        return library

    async def store_library(self, owner: Owner, generation: Generation, library: Library) -> None:
        """See Cache."""
        self._libraries.put(owner.scope, (generation, library), library_bytes(library))
        if library.matrix.nbytes < MAX_PACK_BYTES:
            data = await asyncio.to_thread(encode_library, owner, library)
            await self._set_closed(owner, self._pack_key(owner, generation), data)

    async def features(self, owner: Owner, key: str) -> Features | None:
        """See Cache."""
        kept = self._features.get((owner.scope, key))
        if kept is not None:
            return kept
        data = await self._opened(owner, f"{_prefix(owner)}f:{key}")
        return None if data is None else decode_features(data)

    async def store_features(self, owner: Owner, key: str, features: Features) -> None:
        """See Cache. Kept here at once, and in Redis soon: an answer does not wait for what only later ones need."""
        self._features.put((owner.scope, key), features, features_bytes(features))
        if len(self._storing) < STORING_AT_ONCE:
            task = asyncio.create_task(self._set_closed(owner, f"{_prefix(owner)}f:{key}", encode_features(features)))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    @contextlib.asynccontextmanager
    async def writing(self, owner: Owner) -> AsyncIterator[Write]:
        """See Cache."""
        async with self._turn(owner):
            settled = owner.scope not in self._unsettled
            self._unsettled[owner.scope] = f"{self._gateway}{next(self._writes):08x}"
            before, alone = await self._marked(owner)
            write = Write(after=before.moment if settled and before and alone else None, alone=alone)
            try:
                yield write
            finally:
                with contextlib.suppress(Unavailable):  # then the mark stays, or this process remembers
                    await self._settle(owner, write.moment)

    async def purge(self, owner: Owner) -> int:
        """See Cache. The owner's generation and mark stay; they say nothing."""
        await self._stored()
        own = self._libraries.drop_where(lambda key: key == owner.scope)
        own += self._features.drop_where(lambda key: isinstance(key, tuple) and key[0] == owner.scope)
        with contextlib.suppress(Unavailable):  # what nobody reads any more is gone within TTL_SECONDS
            own += await self._try(lambda: self._unlink(owner))
        return own

    async def _unlink(self, owner: Owner) -> int:
        kept, removed = {key.encode() for key in _keys(owner)}, 0
        async for key in self._redis.scan_iter(match=f"{_glob_safe(_prefix(owner))}*", count=1_000):
            if key not in kept:
                removed += await self._redis.unlink(key)
        return removed

    async def available(self) -> bool:
        """See Cache."""
        try:
            await self._try(lambda: cast(Awaitable[Any], self._redis.ping()))
        except Unavailable:
            return False
        return True

    async def close(self) -> None:
        """Ends the connections, once all that was to be kept is."""
        await self._stored()
        await self._redis.aclose()

    async def _stored(self) -> None:
        """Returns when all features given to be kept until now are in Redis, or were given up."""
        await asyncio.gather(*self._storing, return_exceptions=True)

    async def _marked(self, owner: Owner) -> tuple[Generation | None, bool]:
        """Sets the mark, once it is this gateway's turn.

        What was before, None where there was no mark to set; and whether no other gateway can be writing.
        """
        began = time.monotonic()
        arguments = [*self._arguments(), self._unsettled[owner.scope], self._lease_ms]
        while True:
            try:
                if (found := await self._try(lambda: self._begin(_keys(owner), arguments))) is not None:
                    return _generation(found[0]), bool(found[1])
            except RedisAway:
                if self._sole_gateway:
                    return None, True
                if time.monotonic() > began + AWAY_SECONDS:
                    raise Unavailable("The shared cache is away, and without it a write could stay unseen.") from None
            if time.monotonic() > began + TURN_SECONDS:
                raise Unavailable("Another gateway is writing to this memory; try again.")
            await asyncio.sleep(POLL_SECONDS)

    async def _settle(self, owner: Owner, moment: Moment | None) -> None:
        """Replaces the generation; to be called by whose turn it is. Raises Unavailable."""
        copy = [f"{_prefix(owner)}p:", f":{self._embedder}"]
        arguments = [*self._arguments(), self._unsettled[owner.scope], *copy, "" if moment is None else moment]
        await self._try(lambda: self._end(_keys(owner), arguments))
        self._unsettled.pop(owner.scope, None)
        self._libraries.drop(owner.scope)

    def _turn(self, owner: Owner) -> asyncio.Lock:
        return self._turns.setdefault(owner.scope, asyncio.Lock())

    def _arguments(self) -> list[str | int]:
        return [self._epoch, fresh_generation(), GENERATION_TTL_SECONDS, self._unsure_ms]

    def _pack_key(self, owner: Owner, generation: Generation) -> str:
        return f"{_prefix(owner)}p:{generation.id}:{self._embedder}"

    async def _opened(self, owner: Owner, key: str) -> bytes | None:
        """What was kept under ``key`` and the owner's seal; None where either is gone."""
        sealed = await self._get(key)
        try:
            seal = None if sealed is None else await self._seals.of(owner)
            return None if sealed is None or seal is None else await asyncio.to_thread(seal.open, sealed, key)
        except (Unavailable, ValueError):
            return None

    async def _set_closed(self, owner: Owner, key: str, data: bytes) -> None:
        """Keeps ``data`` closed, bound to its key; nothing for an owner who has no seal."""
        with contextlib.suppress(Unavailable):
            seal = await self._seals.of(owner)
            if seal is not None:
                await self._set(key, await asyncio.to_thread(seal.close, data, key))

    async def _get(self, key: str) -> bytes | None:
        try:
            return cast("bytes | None", await self._try(lambda: self._redis.get(key)))
        except Unavailable:
            return None

    async def _set(self, key: str, value: bytes) -> None:
        """Keeps ``value`` for about TTL_SECONDS; spread, so that not all copies expire at once."""
        ttl_ms = round(TTL_SECONDS * 1_000 * random.uniform(0.85, 1.15))
        with contextlib.suppress(Unavailable):
            await self._try(lambda: self._redis.set(key, value, px=ttl_ms))

    async def _try(self, call: Callable[[], Awaitable[T]]) -> T:
        """The one seam at which Redis' errors become ours."""
        self._breaker.check()
        try:
            result = await call()
        except (RedisError, OSError) as error:
            self._breaker.failed()
            raise RedisAway(f"The shared cache does not answer: {type(error).__name__}.") from error
        self._breaker.succeeded()
        return result


class RedisAway(Unavailable):
    """Redis did not answer, or is not asked for a moment as it did not just now."""


class Breaker:
    """After ``limit`` failures in a row, lets nothing through for ``pause_seconds``."""

    def __init__(self, *, limit: int = 3, pause_seconds: float = 1.0) -> None:
        self._limit = limit
        self._pause_seconds = pause_seconds
        self._failures = 0
        self._open_until = 0.0

    def check(self) -> None:
        """Raises RedisAway while open."""
        if time.monotonic() < self._open_until:
            raise RedisAway("The shared cache did not answer just now.")

    def failed(self) -> None:
        """Counts a failure; once open, each further one opens it again."""
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = time.monotonic() + self._pause_seconds

    def succeeded(self) -> None:
        """Forgets the failures."""
        self._failures = 0


def _prefix(owner: Owner) -> str:
    return f"rap:1:{{{owner.scope}}}:"


def _generation(kept: Any) -> Generation:
    """The generation that a script returned, as bytes."""
    text: str = kept.decode()
    _, _, moment = text.partition("@")
    return Generation(text, Moment(int(moment)) if moment else None)


def _keys(owner: Owner) -> list[str]:
    """Generation and mark, and since when Redis knows all marks."""
    return [f"{_prefix(owner)}g", f"{_prefix(owner)}w", SINCE]


def _glob_safe(text: str) -> str:
    """``text`` as a pattern that matches itself alone."""
    return re.sub(r"([\[\]*?\\^])", r"\\\1", text)
