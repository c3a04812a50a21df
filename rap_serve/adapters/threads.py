"""Threads of their own for one kind of work.

``asyncio.to_thread`` runs as much at once as comes, on any of the event loop's threads. For work that computes, that
costs more than it takes: threads fight over the interpreter and over the processor's caches, and torch keeps a team of
threads for each that ever called it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """So many threads; what waits for one is begun in the order it came in."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` returns; spans that it opens are part of the caller's."""
        call = partial(copy_context().run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def close(self) -> None:
        """Returns once what was begun has ended; the rest is dropped."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
