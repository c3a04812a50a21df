"""Token buckets: each holds a minute's worth, and fills evenly."""

import logging
import time
from collections import OrderedDict
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rap_serve.adapters.redis_cache import Breaker, RedisAway
from rap_serve.domain.tenancy import Allowance

MINUTE = 60.0
MAX_BUCKETS = 200_000
_log = logging.getLogger(__name__)

# KEYS: the bucket. ARGV: limit per minute, amount, 1 where it is taken whether it is there or not.
# Returns 1 or 0 for taken or not, and the level after it, as text since Redis cuts numbers.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local limit, amount = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = tonumber(kept[1]) or limit
level = math.min(limit, level + (now - (tonumber(kept[2]) or now)) * limit / 60)
local taken = 0
if ARGV[3] == '1' or amount <= level then
  taken = 1
  level = math.min(limit, level - amount)
end
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 600)
return {taken, tostring(level)}
"""


class LocalRateLimits:
    """Buckets of one gateway."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def take(self, bucket: str, amount: int, *, per_minute: int) -> Allowance:
        """See RateLimits."""
        level = self._level(bucket, per_minute)
        taken = amount <= level
        self._keep(bucket, level - amount if taken else level)
        return allowance(level - amount if taken else level, amount, per_minute, taken=taken)

    async def give_back(self, bucket: str, amount: int, *, per_minute: int) -> None:
        """See RateLimits."""
        self._keep(bucket, min(per_minute, self._level(bucket, per_minute) + amount))

    def _level(self, bucket: str, per_minute: int) -> float:
        level, at = self._buckets.get(bucket, (float(per_minute), time.monotonic()))
        return min(per_minute, level + (time.monotonic() - at) * per_minute / MINUTE)

    def _keep(self, bucket: str, level: float) -> None:
        self._buckets[bucket] = (level, time.monotonic())
        self._buckets.move_to_end(bucket)
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)


class RedisRateLimits:
    """Buckets that all gateways share. While Redis is away each gateway goes by its own."""

    def __init__(self, url: str, *, timeout_seconds: float = 0.1) -> None:
        """Connects on first use."""
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._redis.register_script(_TAKE)
        self._breaker = Breaker()
        self._own = LocalRateLimits()

    async def take(self, bucket: str, amount: int, *, per_minute: int) -> Allowance:
        """See RateLimits."""
        try:
            taken, level = await self._run(bucket, amount, per_minute, force=False)
        except RedisAway:
            return await self._own.take(bucket, amount, per_minute=per_minute)
        return allowance(level, amount, per_minute, taken=taken)

    async def give_back(self, bucket: str, amount: int, *, per_minute: int) -> None:
        """See RateLimits."""
        try:
            await self._run(bucket, -amount, per_minute, force=True)
        except RedisAway:
            await self._own.give_back(bucket, amount, per_minute=per_minute)

    async def close(self) -> None:
        """Ends the connections."""
        await self._redis.aclose()

    async def _run(self, bucket: str, amount: int, per_minute: int, *, force: bool) -> tuple[bool, float]:
        keys, arguments = [f"rap:1:rate:{{{bucket}}}"], [per_minute, amount, int(force)]
        self._breaker.check()
        try:
            taken, level = cast("tuple[int, bytes]", await self._script(keys, arguments))
        except (RedisError, OSError) as error:
            self._breaker.failed()
            _log.warning("rate limits are this gateway's own: %s", type(error).__name__)
            raise RedisAway("The shared limits do not answer.") from error
        self._breaker.succeeded()
        return bool(taken), float(level)


def allowance(level: float, amount: int, per_minute: int, *, taken: bool) -> Allowance:
    """What a bucket at ``level`` says after ``amount`` was taken, or was not."""
    rate = per_minute / MINUTE
    resets_in = (per_minute - level) / rate if per_minute else MINUTE
    retry_in = (amount - level) / rate if per_minute else MINUTE
    return Allowance(per_minute, max(0, int(level)), max(0.0, resets_in), None if taken else max(0.0, retry_in))
