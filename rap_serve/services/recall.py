"""The owner's library as it is now."""

import asyncio

from rap_serve.domain.concept import Owner
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Cache, ConceptMemory, Generation


class Recall:
    """Reads libraries, from the cache where its copy is current, and from memory otherwise.

    Callers that miss at the same moment share one read.
    """

    def __init__(self, memory: ConceptMemory, cache: Cache) -> None:
        self._memory = memory
        self._cache = cache
        self._reads: dict[tuple[str, Generation], asyncio.Task[Library]] = {}

    async def __call__(self, owner: Owner) -> Library:
        """Every write acknowledged before the call is in it. Raises Unavailable."""
        return await self.under(owner, await self._cache.generation(owner))

    async def under(self, owner: Owner, generation: Generation | None) -> Library:
        """The same, for who has just asked for the owner's generation."""
        if generation is None:
            return await self._memory.library(owner)
        cached = await self._cache.library(owner, generation)
        return cached or await self._shared_read(owner, generation)

    async def _shared_read(self, owner: Owner, generation: Generation) -> Library:
        key = (owner.scope, generation)
        task = self._reads.get(key)
        if task is None:
            task = asyncio.create_task(self._read(owner, generation))
            self._reads[key] = task
            task.add_done_callback(lambda _: self._reads.pop(key, None))
        return await asyncio.shield(task)

    async def _read(self, owner: Owner, generation: Generation) -> Library:
        library = await self._memory.library(owner, after=generation.moment)
        await self._cache.store_library(owner, generation, library)
        return library
