"""What a concept said before."""

from rap_serve.domain.concept import ConceptVersion, Owner
from rap_serve.domain.errors import ConceptNotFound
from rap_serve.domain.ports import Cache, ConceptMemory


class History:
    """Reads the versions of a concept, straight from memory."""

    def __init__(self, memory: ConceptMemory, cache: Cache) -> None:
        self._memory = memory
        self._cache = cache

    async def __call__(self, owner: Owner, concept_id: str) -> tuple[ConceptVersion, ...]:
        """Newest first; the first is the concept as it is now. Raises ConceptNotFound or Unavailable."""
        generation = await self._cache.generation(owner)
        after = generation.moment if generation else None
        versions = await self._memory.history(owner, concept_id, after=after)
        if not versions:
            raise ConceptNotFound(f"There is no concept {concept_id!r} here.")
        return versions
