"""Until when somebody waits."""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator

import pytest

from rap_serve.domain.deadline import NEVER, Deadline, asked, current, enforced, until, within
from rap_serve.domain.errors import DeadlineExceeded, InvalidInput

PAST = Deadline(1.0)


async def pieces(pause_seconds: float) -> AsyncIterator[int]:
    """Numbers without end."""
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(pause_seconds)


def test_a_request_that_says_nothing_has_all_the_time_there_is() -> None:
    """The service's own bound."""
    assert 59 < asked(None, at_most=60).left_seconds <= 60


def test_a_request_gives_itself_less_and_never_more() -> None:
    """Bounded by the service."""
    assert 1 < asked("2", at_most=60).left_seconds <= 2
    assert asked("inf", at_most=60).left_seconds <= 60


@pytest.mark.parametrize("said", ["0", "-1", "soon", "nan", ""])
def test_what_is_no_time_is_refused(said: str) -> None:
    """A caller who misspells it is told rather than given a minute."""
    with pytest.raises(InvalidInput):
        asked(said, at_most=60)


def test_past_it_is_past_for_everybody() -> None:
    """A deadline means the same in the process it is sent to."""
    sent = pickle.loads(pickle.dumps(PAST))  # noqa: S301
    with pytest.raises(DeadlineExceeded):
        sent.require()
    NEVER.require()


def test_what_is_begun_within_a_deadline_knows_it() -> None:
    """And nothing else does."""
    with within(PAST):
        assert current() is PAST
    assert current() is None


async def test_work_ends_at_its_deadline() -> None:
    """What it waits for is cancelled; work without a deadline goes on."""
    with pytest.raises(DeadlineExceeded):
        async with enforced(Deadline.after(0.02)):
            await asyncio.sleep(5)
    async with enforced(None):
        await asyncio.sleep(0)


async def test_a_timeout_of_the_works_own_is_not_the_deadline() -> None:
    """What went wrong inside is not blamed on the caller's clock."""
    with pytest.raises(TimeoutError):
        async with enforced(Deadline.after(5)):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)


async def test_a_stream_ends_between_two_pieces() -> None:
    """Pieces that came in time are given; the one that is late is not waited for."""
    began, seen = time.monotonic(), []
    with pytest.raises(DeadlineExceeded):
        async for piece in until(Deadline.after(0.1), pieces(0.04)):
            seen.append(piece)
    assert seen[:2] == [0, 1] and time.monotonic() - began < 2


async def test_a_stream_in_time_is_whole() -> None:
    """Its end is its end."""

    async def three() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert [p async for p in until(NEVER, three())] == [0, 1, 2]
