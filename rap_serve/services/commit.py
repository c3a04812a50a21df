"""Around every write to an owner's memory: its quota, and the copies that it makes stale."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from rap_serve.domain.catalogue import Owners, Quotas, Reservation
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import NOTHING_WRITTEN, Erased, Unavailable, Unwritten
from rap_serve.domain.ports import Cache, ConceptMemory, Write
from rap_serve.domain.tenancy import Amounts, holdings

OVERDUE_AT_ONCE = 50
PAUSE_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.05
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Change(Write):
    """A write, and what it adds to what its owner holds, or takes away; a deletion says so once it knows."""

    amounts: Amounts


class Commit:
    """Takes what a write adds out of the tenant's quota, keeps caches out of its way, and settles by what it did."""

    def __init__(self, *, cache: Cache, quotas: Quotas, owners: Owners) -> None:
        self._cache = cache
        self._quotas = quotas
        self._owners = owners

    async def epoch(self, owner: Owner) -> int:
        """To be asked for when a request comes in that is going to write."""
        return await self._owners.epoch(owner)

    @contextlib.asynccontextmanager
    async def __call__(self, owner: Owner, amounts: Amounts, *, epoch: int | None = None) -> AsyncIterator[Change]:
        """The write goes inside. Raises QuotaExceeded, Erased or Unwritten before it begins.

        ``epoch``: of when the request came in; an owner who was erased since gets nothing stored. None where nothing
        is.

        Where nobody knows whether the write happened, the owner is counted anew later, by ``Recount``.
        """
        reservation = await self._reserved(owner, amounts)
        change, begun = Change(amounts=amounts), False
        try:
            async with self._cache.writing(owner) as write:
                if not write.alone:
                    await self._left_alone(reservation)
                if epoch is not None and await self._owners.epoch(owner) != epoch:
                    raise Erased("The user was erased while this was under way; nothing of it was stored.")
                begun, change.after = True, write.after
                yield change
                write.moment = change.moment
        except BaseException as error:
            if not begun or isinstance(error, NOTHING_WRITTEN):
                with contextlib.suppress(Unavailable):  # then it is counted later
                    await self._quotas.release(reservation)
            if not begun and isinstance(error, Unavailable):
                raise Unwritten(str(error)) from error
            raise
        try:
            await self._quotas.settle(replace(reservation, amounts=change.amounts))
        except Unavailable:
            _log.warning("a write is counted later")  # it happened, and its caller is told so

    async def _reserved(self, owner: Owner, amounts: Amounts) -> Reservation:
        try:
            return await self._quotas.reserve(owner, amounts)
        except Unavailable as error:
            raise Unwritten(str(error)) from error

    async def _left_alone(self, reservation: Reservation) -> None:
        """Returns once no earlier write of the owner's is under way. Raises Unavailable."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while await self._quotas.is_behind(reservation):
            if time.monotonic() > patience:
                raise Unavailable("Another write to this memory may be under way; try again.")
            await asyncio.sleep(POLL_SECONDS)


class Recount:
    """Finds out what came of writes whose writers died or never heard back."""

    def __init__(self, *, memory: ConceptMemory, cache: Cache, quotas: Quotas) -> None:
        self._memory = memory
        self._cache = cache
        self._quotas = quotas

    async def watch(self) -> None:
        """Keeps finding out; for ever."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            with contextlib.suppress(Unavailable):
                await self()

    async def __call__(self) -> int:
        """How many owners were counted anew; those that cannot be now are left for the next time."""
        counted = 0
        for overdue in await self._quotas.overdue(limit=OVERDUE_AT_ONCE):
            with contextlib.suppress(Unavailable):
                async with self._cache.writing(overdue.owner) as write:
                    if not write.alone:
                        continue
                    library = await self._memory.library(overdue.owner)
                    await self._quotas.recount(overdue, holdings(library.concepts))
                counted += 1
        return counted
