"""What an owner's pictures and questions may be about: the owner's library, and what others share."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rap_serve.domain.catalogue import Shares
from rap_serve.domain.concept import EmbeddingSpace, Owner
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Cache, Generation
from rap_serve.domain.share import Share, joined
from rap_serve.services.recall import Recall

V = TypeVar("V")

REMEMBERED_OWNERS = 10_000
REMEMBERED_LIBRARIES = 64


class Recent(Generic[V]):
    """The values of the owners that were asked for last, up to ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, owner: Owner) -> V | None:
        """The value, now the most recently used."""
        if owner.scope in self._values:
            self._values.move_to_end(owner.scope)
        return self._values.get(owner.scope)

    def put(self, owner: Owner, value: V) -> None:
        """Keeps it, in the place of what was used longest ago."""
        self._values[owner.scope] = value
        self._values.move_to_end(owner.scope)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """A library, and what it was made of."""

    parts: tuple[Library, ...]
    shares: Sequence[Share]
    library: Library

    def is_of(self, parts: tuple[Library, ...], shares: Sequence[Share]) -> bool:
        """Whether these would make the same."""
        same = len(parts) == len(self.parts) and all(a is b for a, b in zip(parts, self.parts, strict=True))
        return same and shares == self.shares


class RecallShared:
    """Reads an owner's library together with those concepts of others that the owner has accepted.

    Which shares those are is kept in this process under the owner's generation, as every change of them replaces it.
    What they cover is read as it is now, under the generations of their givers.
    """

    def __init__(self, *, recall: Recall, cache: Cache, shares: Shares) -> None:
        self._recall = recall
        self._cache = cache
        self._shares = shares
        self._accepted_by: Recent[tuple[Generation, Sequence[Share]]] = Recent(REMEMBERED_OWNERS)
        self._joined_for: Recent[_Joined] = Recent(REMEMBERED_LIBRARIES)

    async def __call__(self, owner: Owner) -> Library:
        """Every write and every change of a share acknowledged before the call is in it. Raises Unavailable."""
        space = self._recall.space
        generation = await self._cache.generation(owner)
        shares = await self._accepted(owner, generation)
        own = await self._recall.under(owner, generation, space)
        return await self._joined(owner, own, shares) if shares else own

    async def _accepted(self, owner: Owner, generation: Generation | None) -> Sequence[Share]:
        """Those of the catalogue, unless they were read under this very generation."""
        kept = self._accepted_by.get(owner)
        if kept is not None and kept[0] == generation:
            return kept[1]
        shares = await self._shares.accepted(owner)
        if generation is not None:
            self._accepted_by.put(owner, (generation, shares))
        return shares

    async def _of_giver(self, giver: Owner, space: EmbeddingSpace) -> Library:
        return await self._recall.under(giver, await self._cache.generation(giver), space)

    async def _joined(self, owner: Owner, own: Library, shares: Sequence[Share]) -> Library:
        """The one made last, unless any part of it has changed."""
        givers = tuple(dict.fromkeys(share.giver for share in shares))
        libraries = await asyncio.gather(*(self._of_giver(giver, own.space) for giver in givers))
        kept = self._joined_for.get(owner)
        if kept is None or not kept.is_of((own, *libraries), shares):
            library = joined(own, shares, dict(zip(givers, libraries, strict=True)))
            kept = _Joined((own, *libraries), shares, library)
            self._joined_for.put(owner, kept)
        return kept.library
