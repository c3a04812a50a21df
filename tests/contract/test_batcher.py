"""Calls in batches, with real threads; the forward pass is arithmetic."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from rap_serve.adapters.batcher import Batcher
from rap_serve.domain.deadline import NEVER, Deadline
from rap_serve.domain.errors import DeadlineExceeded
from rap_serve.observability.batches import BatchMetrics
from rap_serve.observability.tracing import Tracing
from rap_serve.settings import BatchSettings

PAST = Deadline(0.0)


class Doubling:
    """A pass that doubles numbers, remembers its batches, and waits at the gate where that is shut."""

    def __init__(self, *, most: int = 4, wait_seconds: float = 0.25, device: str = "cpu") -> None:
        self.batches: list[list[int]] = []
        self.began = asyncio.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._loop = asyncio.get_running_loop()
        self.batcher: Batcher[int, int] = Batcher(
            self._forward,
            size=len,
            batch=BatchSettings(max_size=most, wait_seconds=wait_seconds),
            device=device,
            metrics=BatchMetrics(),
            tracing=Tracing(),
        )

    def call(self, *numbers: int, deadline: Deadline = NEVER) -> "asyncio.Task[list[int]]":
        """A call of some numbers, begun."""
        return asyncio.create_task(self.batcher(lambda: numbers, deadline))

    async def busy(self) -> "asyncio.Task[list[int]]":
        """A call that computes until the gate is opened."""
        self.gate.clear()
        call = self.call(0)
        await self.began.wait()
        return call

    def _forward(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.gate.wait(10)
        if -1 in numbers:
            raise ValueError("a pass that fails")
        return [2 * n for n in numbers]


async def test_a_call_alone_is_a_pass_of_its_own() -> None:
    """Nobody to wait for."""
    doubling = Doubling()
    assert await doubling.call(1) == [2]
    assert doubling.batches == [[1]]


async def test_what_comes_while_the_model_is_busy_is_one_batch() -> None:
    """However long that lasts, and each call gets its own rows, in their order."""
    doubling = Doubling()
    first = await doubling.busy()
    calls = [doubling.call(1), doubling.call(2, 3)]
    await asyncio.sleep(0.05)
    doubling.gate.set()
    assert await asyncio.gather(first, *calls) == [[0], [2], [4, 6]]
    assert doubling.batches == [[0], [1, 2, 3]]


async def test_no_batch_is_larger_than_its_limit() -> None:
    """The rest is the next one."""
    doubling = Doubling(most=2)
    first = await doubling.busy()
    calls = [doubling.call(n) for n in range(1, 6)]
    await asyncio.sleep(0.05)
    doubling.gate.set()
    await asyncio.gather(first, *calls)
    assert [len(b) for b in doubling.batches] == [1, 2, 2, 1]


async def test_only_what_somebody_waits_for_is_computed() -> None:
    """Neither what has expired in line nor what was given up there."""
    doubling = Doubling()
    first = await doubling.busy()
    expired, given_up, waited_for = doubling.call(1, deadline=Deadline.after(0.05)), doubling.call(2), doubling.call(3)
    await asyncio.sleep(0.1)
    given_up.cancel()
    doubling.gate.set()
    assert await asyncio.gather(first, waited_for) == [[0], [6]]
    with pytest.raises(DeadlineExceeded):
        await expired
    assert doubling.batches == [[0], [3]]


async def test_a_call_that_has_expired_is_not_prepared() -> None:
    """It costs nothing at all."""
    doubling = Doubling()
    with pytest.raises(DeadlineExceeded):
        await doubling.call(1, deadline=PAST)
    assert doubling.batches == []


async def test_a_pass_that_fails_fails_its_calls_and_no_others() -> None:
    """The next one is computed."""
    doubling = Doubling()
    first = await doubling.busy()
    failing = doubling.call(-1)
    await asyncio.sleep(0.05)
    doubling.gate.set()
    assert await first == [0]
    with pytest.raises(ValueError, match="a pass that fails"):
        await failing
    assert await doubling.call(4) == [8]


async def test_without_a_core_for_it_a_batch_grows_for_an_idle_model() -> None:
    """A pass that takes much longer than it computes has waited for a core; the next call waits for company instead."""
    doubling = Doubling(wait_seconds=0.2)
    first = await doubling.busy()
    await asyncio.sleep(0.3)
    doubling.gate.set()
    await first
    calls = [doubling.call(1)]
    await asyncio.sleep(0.05)
    calls.append(doubling.call(2))
    assert await asyncio.gather(*calls) == [[2], [4]]
    assert doubling.batches == [[0], [1, 2]]


async def test_a_full_batch_waits_no_longer() -> None:
    """There is nothing left to grow for."""
    doubling = Doubling(most=2, wait_seconds=60.0)
    first = await doubling.busy()
    await asyncio.sleep(0.1)
    doubling.gate.set()
    await first
    began = time.monotonic()
    await asyncio.gather(doubling.call(1), doubling.call(2))
    assert time.monotonic() - began < 0.09


async def test_a_device_of_its_own_computes_while_its_caller_sleeps() -> None:
    """There a thread's time says nothing, and an idle model waits for nobody."""
    doubling = Doubling(device="cuda")
    first = await doubling.busy()
    await asyncio.sleep(0.1)
    doubling.gate.set()
    await first
    began = time.monotonic()
    await doubling.call(1)
    assert time.monotonic() - began < 0.09
