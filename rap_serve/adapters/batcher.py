"""Single calls of a model gathered into forward passes: what waits is taken together as soon as the model is free."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from rap_serve.adapters.threads import Threads
from rap_serve.domain.deadline import Deadline, exceeded
from rap_serve.domain.gathering import Gathering
from rap_serve.observability.batches import BatchMetrics
from rap_serve.observability.tracing import Tracing
from rap_serve.settings import BatchSettings

Item = TypeVar("Item")
Row = TypeVar("Row")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Row]):
    """An item in line. ``row``: of it, when it is there. Times are of ``time.monotonic``."""

    item: Item
    size: int
    deadline: Deadline
    row: asyncio.Future[Row]
    since: float = field(default_factory=time.monotonic)
    began: float = 0.0


class Batcher(Generic[Item, Row]):
    """Around a forward pass that takes many items and gives as many rows. Passes come one at a time, in one thread.

    A call that has the model to itself needs no batch: it is prepared and passed in one turn of that thread.
    """

    def __init__(
        self,
        forward: Callable[[Sequence[Item]], list[Row]],
        *,
        size: Callable[[Sequence[Item]], int],
        batch: BatchSettings,
        device: str,
        metrics: BatchMetrics,
        tracing: Tracing,
    ) -> None:
        """``size``: how much items hold, as the limit of a batch counts. ``device``: where the pass computes."""
        self._forward = forward
        self._size = size
        self._most = batch.max_size
        self._gathering = Gathering(most_seconds=batch.wait_seconds)
        self._computed = time.thread_time if torch.device(device).type == "cpu" else time.monotonic
        self._metrics = metrics
        self._tracing = tracing
        self._calls = 0
        self._preparing = Threads(torch.get_num_threads(), "prepare")
        self._passing = Threads(1, "forward")
        self._line: deque[_Waiting[Item, Row]] = deque()
        self._came = asyncio.Event()
        self._free = asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, prepare: Callable[[], Sequence[Item]], deadline: Deadline) -> list[Row]:
        """The rows of the items that ``prepare`` makes in a thread. Raises DeadlineExceeded.

        Whoever stops waiting takes along what is still in line.
        """
        self._calls += 1
        try:
            if self._calls == 1 and not self._gathering.wait_seconds:
                return await self._alone(prepare, deadline)
            return await self._in_batches(prepare, deadline)
        finally:
            self._calls -= 1

    async def _alone(self, prepare: Callable[[], Sequence[Item]], deadline: Deadline) -> list[Row]:
        def turn() -> list[Row]:
            deadline.require()
            with self._tracing.span("preprocess"):
                items = prepare()
            with self._tracing.span("batch"):
                return [row for item in items for row in self._pass([item])]

        async with self._free:
            rows = await self._passing.run(turn)
        self._metrics.waited(0.0)
        return rows

    async def _in_batches(self, prepare: Callable[[], Sequence[Item]], deadline: Deadline) -> list[Row]:
        with self._tracing.span("preprocess"):
            items = await self._preparing.run(prepare)
        with self._tracing.span("batch"):
            waiting = [self._lined_up(item, deadline) for item in items]
            rows = await asyncio.gather(*(w.row for w in waiting))
            self._metrics.waited(max(w.began - w.since for w in waiting))
            return rows

    def _lined_up(self, item: Item, deadline: Deadline) -> _Waiting[Item, Row]:
        waiting = _Waiting[Item, Row](item, self._size([item]), deadline, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._came.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return waiting

    async def _work(self) -> None:
        """Until nobody is in line."""
        while self._line:
            async with self._free:
                await self._gathered()
                await self._answer(self._taken())

    async def _gathered(self) -> None:
        """Returns when the batch is full, or may grow no longer."""
        until = self._line[0].since + self._gathering.wait_seconds
        while sum(w.size for w in self._line) < self._most and (left := until - time.monotonic()) > 0:
            self._came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), left)

    def _taken(self) -> list[_Waiting[Item, Row]]:
        """The next batch: who came first, as many as fit; who waits no longer is left out."""
        taken: list[_Waiting[Item, Row]] = []
        size = 0
        while self._line and (not taken or size + self._line[0].size <= self._most):
            waiting = self._line.popleft()
            if waiting.row.done():
                continue
            if waiting.deadline.left_seconds <= 0:
                waiting.row.set_exception(exceeded())
                continue
            taken.append(waiting)
            size += waiting.size
        return taken

    async def _answer(self, batch: list[_Waiting[Item, Row]]) -> None:
        if not batch:
            return
        began = time.monotonic()
        try:
            rows = await self._passing.run(self._pass, [w.item for w in batch])
        except Exception as error:  # noqa: BLE001 -- whatever it is, those who wait are told
            for waiting in batch:
                if not waiting.row.done():
                    waiting.row.set_exception(error)
            return
        for waiting, row in zip(batch, rows, strict=True):
            waiting.began = began
            if not waiting.row.done():
                waiting.row.set_result(row)

    def _pass(self, items: Sequence[Item]) -> list[Row]:
        """A forward pass, in the thread that computes."""
        began, computed = time.monotonic(), self._computed()
        rows = self._forward(items)
        seconds = time.monotonic() - began
        self._gathering.passed(seconds, self._computed() - computed)
        self._metrics.forward(self._size(items), seconds)
        return rows
