"""A model's forward passes: timed, counted, and telling how long the next batch may be gathered.

A call that has the model to itself needs no batch: it is prepared and passed in one turn of the thread that computes.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from rap_serve.adapters.threads import Threads
from rap_serve.domain.deadline import Deadline, in_time
from rap_serve.domain.errors import DeadlineExceeded
from rap_serve.domain.gathering import Gathering
from rap_serve.observability.batches import BatchMetrics

Item = TypeVar("Item")
Row = TypeVar("Row")
T = TypeVar("T")


class Paced(Generic[Item, Row]):
    """Around a forward pass that takes many items and gives as many rows. Passes come one at a time, in one thread."""

    def __init__(
        self,
        forward: Callable[[Sequence[Item]], list[Row]],
        *,
        size: Callable[[Sequence[Item]], int],
        most_seconds: float,
        metrics: BatchMetrics,
    ) -> None:
        """``size``: how much a batch holds, as its limit counts. ``most_seconds``: no batch is gathered for longer."""
        self._forward = forward
        self._size = size
        self._gathering = Gathering(most_seconds=most_seconds)
        self._metrics = metrics
        self._last_seconds = 0.0
        self._calls = 0
        self._thread = Threads(1, "forward")

    async def forward(self, items: Sequence[Item], deadlines: Sequence[Deadline]) -> list[Row | DeadlineExceeded]:
        """The rows of a batch, of those that somebody still waits for when their turn has come; see ``in_time``."""
        return await self._thread.run(in_time, items, deadlines, self.passed)

    @contextmanager
    def call(self) -> Iterator[bool]:
        """Around all of a call; whether there is no other as it begins."""
        self._calls += 1
        try:
            yield self._calls == 1
        finally:
            self._calls -= 1

    async def alone(self, work: Callable[[], T], deadline: Deadline) -> T:
        """A call's whole ``work``, ``passed`` within it, as one turn of the thread. Raises DeadlineExceeded."""

        def turn() -> T:
            deadline.require()
            return work()

        result = await self._thread.run(turn)
        self._metrics.waited(0.0)
        return result

    def passed(self, items: Sequence[Item]) -> list[Row]:
        """A forward pass; for the thread that computes."""
        size, began = self._size(items), time.monotonic()
        self._gathering.began(size, began)
        try:
            return self._forward(items)
        finally:
            self._last_seconds = time.monotonic() - began
            self._gathering.ended(size, self._last_seconds)
            self._metrics.forward(size, self._last_seconds)

    def wait_seconds(self) -> float:
        """How long to gather a batch whose first item comes now."""
        return self._gathering.wait_seconds(time.monotonic())

    async def counted(self, call: Awaitable[T]) -> T:
        """What a call gets out of a batch; how long it was kept waiting for its forward pass is counted."""
        began = time.monotonic()
        result = await call
        self._metrics.waited(max(0.0, time.monotonic() - began - self._last_seconds))
        return result
