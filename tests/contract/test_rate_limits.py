"""Token buckets, in one gateway's memory and in Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rap_serve.adapters.rate_limits import LocalRateLimits, RedisRateLimits
from rap_serve.domain.catalogue import RateLimits
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.tenancy import Limits
from rap_serve.services.throttle import Throttle, refusal
from tests.contract.conftest import RedisServer


@pytest.fixture(params=["local", "redis"])
async def rates(request: pytest.FixtureRequest) -> AsyncIterator[RateLimits]:
    """Each implementation."""
    if request.param == "local":
        yield LocalRateLimits()
        return
    shared = RedisRateLimits(request.getfixturevalue("redis_server").url, timeout_seconds=1)
    yield shared
    await shared.close()


async def test_a_bucket_gives_what_it_holds_and_no_more(rates: RateLimits) -> None:
    """To many at once, and says how long the next must wait."""
    bucket = new_ulid()
    taken = await asyncio.gather(*(rates.take(bucket, 1, per_minute=20) for _ in range(50)))
    assert sum(a.retry_in is None for a in taken) == 20
    refused = await rates.take(bucket, 1, per_minute=20)
    assert refused.remaining == 0 and 2 < (refused.retry_in or 0) <= 3 and 57 < refused.resets_in <= 60


async def test_a_bucket_fills_evenly(rates: RateLimits) -> None:
    """A hundredth of a minute is a hundredth of the limit."""
    bucket = new_ulid()
    await rates.take(bucket, 600, per_minute=600)
    await asyncio.sleep(0.6)
    assert (await rates.take(bucket, 5, per_minute=600)).retry_in is None
    assert (await rates.take(bucket, 100, per_minute=600)).retry_in is not None


async def test_what_was_too_much_is_given_back_and_what_was_too_little_is_owed(rates: RateLimits) -> None:
    """Never more than a full minute's."""
    bucket = new_ulid()
    await rates.take(bucket, 80, per_minute=100)
    await rates.give_back(bucket, 30, per_minute=100)
    assert 50 <= (await rates.take(bucket, 0, per_minute=100)).remaining <= 52
    await rates.give_back(bucket, -150, per_minute=100)
    assert (await rates.take(bucket, 1, per_minute=100)).retry_in is not None
    await rates.give_back(bucket, 10_000, per_minute=100)
    assert (await rates.take(bucket, 0, per_minute=100)).remaining == 100


async def test_nothing_is_allowed_where_the_limit_is_nothing(rates: RateLimits) -> None:
    """Nor does it divide by it."""
    assert (await rates.take(new_ulid(), 1, per_minute=0)).retry_in == 60


async def test_buckets_are_apart(rates: RateLimits) -> None:
    """One that is empty empties no other."""
    one, other = new_ulid(), new_ulid()
    await rates.take(one, 10, per_minute=10)
    assert (await rates.take(other, 10, per_minute=10)).retry_in is None


async def test_without_redis_a_gateway_goes_by_its_own(own_redis: RedisServer) -> None:
    """Limits hold on, each gateway's apart."""
    rates, bucket = RedisRateLimits(own_redis.url, timeout_seconds=0.2), new_ulid()
    await rates.take(bucket, 5, per_minute=10)
    own_redis.kill()
    taken = [await rates.take(bucket, 5, per_minute=10) for _ in range(3)]
    assert [a.retry_in is None for a in taken] == [True, True, False]
    await rates.close()


async def test_an_answer_is_charged_for_what_it_took(rates: RateLimits) -> None:
    """Its longest possible length first, its true one in the end; one too long for any minute waits for a full one."""
    throttle = Throttle(rates, lambda _: Limits(tokens_per_minute=100))
    tenant = new_ulid()
    charge = await throttle.tokens(tenant, characters=40, max_tokens=50)
    assert charge.tokens == 60 and charge.allowance is not None and charge.allowance.remaining == 40
    refused = await throttle.tokens(tenant, characters=0, max_tokens=50)
    assert refused.allowance is not None
    assert "100 tokens per minute" in str(refusal("tokens", refused.allowance))
    await throttle.settle(charge, 5)
    again = await throttle.tokens(tenant, characters=0, max_tokens=50)
    assert again.allowance is not None and again.allowance.retry_in is None
    await throttle.settle(again, 0)
    await asyncio.sleep(3.1)
    longest = await throttle.tokens(tenant, characters=0, max_tokens=10_000)
    assert longest.tokens == 100 and longest.allowance is not None and longest.allowance.retry_in is None


async def test_who_has_no_limit_is_not_counted(rates: RateLimits) -> None:
    """Neither requests nor tokens."""
    throttle = Throttle(rates, lambda _: Limits())
    assert await throttle.request("t") is None
    charge = await throttle.tokens("t", 1_000, 1_000)
    assert charge.allowance is None
    await throttle.settle(charge, 5)
