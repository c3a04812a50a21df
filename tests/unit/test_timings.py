"""Where a request's time is said to have gone."""

import asyncio
from collections.abc import AsyncGenerator

from rap_serve.domain.chat import Delta
from rap_serve.domain.concept import NOWHERE
from rap_serve.domain.library import Library
from rap_serve.services.answer import Answering, first_then_rest
from rap_serve.services.retrieve import Retrieval
from rap_serve.services.timings import Timings


async def test_a_step_that_comes_twice_is_added_up() -> None:
    """What was measured elsewhere counts like what was measured here."""
    timings = Timings()
    timings.count("embed", 5.0)
    with timings("embed"):
        await asyncio.sleep(0.01)
    assert timings.milliseconds["embed"] >= 15.0


async def test_arrival_is_all_that_went_before() -> None:
    """From when the timings began, whatever was counted meanwhile."""
    timings = Timings()
    with timings("key"):
        await asyncio.sleep(0.01)
    timings.until_now("arrival")
    assert timings.milliseconds["arrival"] >= timings.milliseconds["key"] >= 10.0


async def test_the_first_token_is_waited_for_and_tells_what_the_engine_took() -> None:
    """The rest of the wait is admission: finding a replica and getting there."""

    async def pieces() -> AsyncGenerator[Delta, None]:
        await asyncio.sleep(0.02)
        yield Delta("Bo", engine_milliseconds=10.0)
        yield Delta(".", finish_reason="stop")

    answering = await first_then_rest(Answering(Retrieval(Library.of([], NOWHERE)), pieces()))
    timings = answering.retrieval.timings.milliseconds
    assert timings["first_token"] >= 20.0 and timings["engine"] == 10.0
    assert [delta.text async for delta in answering.deltas] == ["Bo", "."]
