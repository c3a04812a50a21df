"""Until when somebody waits for an answer. Work that nobody waits for any more is not begun.

A deadline travels as a moment of the wall clock. Machines share no other clock, and what is left of it could not say
how long a call has waited in a queue on its way. Clocks that differ move it by as much, which is milliseconds where
machines keep time; whoever waits measures by a clock of its own.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from rap_serve.domain.errors import DeadlineExceeded, InvalidInput

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """``at``: seconds since the epoch."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(time.time() + seconds)

    @property
    def left_seconds(self) -> float:
        """Until it passes, negative afterwards."""
        return self.at - time.time()

    def require(self) -> None:
        """Raises DeadlineExceeded once it has passed."""
        if self.left_seconds <= 0:
            raise exceeded()


NEVER = Deadline(math.inf)
_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def exceeded() -> DeadlineExceeded:
    """What to tell who waits no longer."""
    return DeadlineExceeded("The answer was not there by the deadline of the request.")


def asked(seconds: str | None, *, at_most: float) -> Deadline:
    """The deadline of a request that gives itself ``seconds``; raises InvalidInput where that is no positive number."""
    if seconds is None:
        return Deadline.after(at_most)
    try:
        wanted = float(seconds)
    except ValueError:
        wanted = math.nan
    if not wanted > 0:
        raise InvalidInput("A request gives itself a positive number of seconds, or says nothing of it.")
    return Deadline.after(min(wanted, at_most))


def current() -> Deadline | None:
    """That of the request being worked on; None for work that no request waits for."""
    return _current.get()


@contextlib.contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """What is begun inside has this deadline."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.asynccontextmanager
async def enforced(deadline: Deadline | None) -> AsyncIterator[None]:
    """Ends what runs inside when the deadline passes. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(None if deadline is None else deadline.left_seconds) as timeout:
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise exceeded() from error
        raise


async def until(deadline: Deadline, pieces: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The same pieces; raises DeadlineExceeded where one is not there in time."""
    while True:
        try:
            async with enforced(deadline):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        yield piece
