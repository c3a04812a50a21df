"""The owner's library as it is now."""

import asyncio

from rap_serve.domain.concept import EmbeddingSpace, Owner
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Cache, ConceptMemory, Generation
from rap_serve.services.embedding import EmbeddingModels


class Recall:
    """Reads libraries, from the cache where its copy is current, and from memory otherwise.

    Callers that miss at the same moment share one read.
    """

    def __init__(self, memory: ConceptMemory, cache: Cache, models: EmbeddingModels) -> None:
        self._memory = memory
        self._cache = cache
        self._models = models
        self._reads: dict[tuple[str, Generation, EmbeddingSpace], asyncio.Task[Library]] = {}

    async def __call__(self, owner: Owner) -> Library:
        """Every write acknowledged before the call is in it, in the space that answers. Raises Unavailable."""
        return await self.under(owner, await self._cache.generation(owner), self.space)

    @property
    def space(self) -> EmbeddingSpace:
        """The one that answers now."""
        return self._models.current.space

    async def under(self, owner: Owner, generation: Generation | None, space: EmbeddingSpace) -> Library:
        """The same, for who knows the owner's generation, in a space."""
        if generation is None:
            return await self._memory.library(owner, space=space)
        cached = await self._cache.library(owner, generation)
        if cached is not None and cached.space == space:
            return cached
        return await self._shared_read(owner, generation, space)

    async def _shared_read(self, owner: Owner, generation: Generation, space: EmbeddingSpace) -> Library:
        key = (owner.scope, generation, space)
        task = self._reads.get(key)
        if task is None:
            task = asyncio.create_task(self._read(owner, generation, space))
            self._reads[key] = task
            task.add_done_callback(lambda _: self._reads.pop(key, None))
        return await asyncio.shield(task)

    async def _read(self, owner: Owner, generation: Generation, space: EmbeddingSpace) -> Library:
        library = await self._memory.library(owner, space=space, after=generation.moment)
        await self._cache.store_library(owner, generation, library)
        return library
