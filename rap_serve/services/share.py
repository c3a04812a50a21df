"""Sharing within a household: one user offers, another accepts, either ends it."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from rap_serve.domain.catalogue import Attempt, Owners, Shares
from rap_serve.domain.concept import Concept, Owner, new_ulid
from rap_serve.domain.errors import NotFound
from rap_serve.domain.ports import Cache
from rap_serve.domain.share import Share
from rap_serve.services.recall import Recall


class ShareConcepts:
    """Offers, accepts and ends shares. Nothing is known of whom something is offered to, not even whether it exists."""

    def __init__(self, *, shares: Shares, owners: Owners, recall: Recall, cache: Cache) -> None:
        self._shares = shares
        self._owners = owners
        self._recall = recall
        self._cache = cache

    async def offer(self, giver: Owner, taker: str, concepts: Sequence[str] | None) -> Share:
        """The offer, or the share that says the same already. ``concepts``: ids; None for all, future ones too.

        Raises InvalidInput, ConceptNotFound, Conflict, Erased or Unavailable.
        """
        epoch, now_ms = await self._owners.epoch(giver), _now_ms()
        share = Share(
            id=f"share_{new_ulid(now_ms=now_ms)}",
            giver=giver,
            taker=Owner(giver.tenant, taker),
            concepts=None if concepts is None else frozenset(concepts),
            created_at=now_ms,
        )
        if concepts is not None:
            (await self._recall(giver)).places(concepts)
        return await self._shares.offer(share, epoch=epoch)

    async def page(self, owner: Owner, *, after: str, limit: int) -> list[tuple[Share, tuple[Concept, ...]]]:
        """Up to ``limit`` shares that the owner gives or takes, with what each covers now, oldest first."""
        shares = await self._shares.page(owner, after=after, limit=limit)
        libraries = {giver: await self._recall(giver) for giver in {share.giver for share in shares}}
        return [(share, share.of(libraries[share.giver])) for share in shares]

    async def accept(self, taker: Owner, share_id: str) -> Share:
        """The share as it is then; its taker's next request knows what it covers. Raises NotFound, Unavailable."""
        if (await self._shares.get(taker, share_id)).taker != taker:
            raise NotFound(f"There is no share {share_id!r} to accept here.")
        async with changing(self._cache, taker):
            return await self._shares.accept(taker, share_id, at=_now_ms())

    async def end(self, owner: Owner, share_id: str, *, attempt: Attempt | None = None) -> None:
        """The taker's next request knows nothing of it any more. Raises NotFound, Unavailable.

        A later attempt at it may find that an earlier one has done it.
        """
        try:
            share = await self._shares.get(owner, share_id)
        except NotFound:
            if attempt is None or attempt.number == 1:
                raise
            return
        async with changing(self._cache, share.taker):
            await self._shares.end(share)


@contextlib.asynccontextmanager
async def changing(cache: Cache, taker: Owner) -> AsyncIterator[None]:
    """Around every change of what a taker has accepted: no gateway goes by what it knew before, once it has ended."""
    async with cache.writing(taker) as write:
        write.moment = write.after  # memory is not written, so the last write to it stays the last
        yield


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
