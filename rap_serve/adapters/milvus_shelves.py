"""Concepts spread over shelves: sets of collections that many tenants share, or that one has for itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_schema import Records
from rap_serve.domain.catalogue import Shelves
from rap_serve.domain.concept import Concept, ConceptVersion, EmbeddingSpace, Owner, Vector
from rap_serve.domain.errors import Conflict
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import Moment, Neighbour


@dataclass(frozen=True, slots=True)
class Moved:
    """What was carried from one shelf to another."""

    concepts: int
    digest: str


class ShelvedMemory:
    """See ConceptMemory; every call goes to the shelf where its owner is now."""

    def __init__(self, shelves: Shelves, opened: Callable[[str], MilvusMemory]) -> None:
        """``opened``: the memory of a shelf, by its name."""
        self._shelves = shelves
        self._opened = opened
        self._memories: dict[str, MilvusMemory] = {}

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        """See ConceptMemory."""
        return await (await self._of(owner)).library(owner, space=space, after=after)

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """See ConceptMemory."""
        memory = await self._of(concept.owner)
        return await memory.put(concept, expected_version=expected_version, after=after)

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """See ConceptMemory."""
        return await (await self._of(owner)).add(owner, concepts, after=after)

    async def delete(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, after: Moment | None = None
    ) -> tuple[Concept, Moment | None]:
        """See ConceptMemory."""
        memory = await self._of(owner)
        return await memory.delete(owner, concept_id, expected_version=expected_version, after=after)

    async def remove(self, owner: Owner, concept_ids: Sequence[str]) -> Moment | None:
        """See ConceptMemory."""
        return await (await self._of(owner)).remove(owner, concept_ids)

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """See ConceptMemory."""
        return await (await self._of(owner)).history(owner, concept_id, after=after)

    async def nearest(
        self,
        owner: Owner,
        queries: Matrix,
        *,
        k: int,
        space: EmbeddingSpace | None = None,
        after: Moment | None = None,
    ) -> list[list[Neighbour]]:
        """See ConceptMemory."""
        return await (await self._of(owner)).nearest(owner, queries, k=k, space=space, after=after)

    async def complete(self, owner: Owner, space: EmbeddingSpace, embeddings: Mapping[str, Vector]) -> Moment | None:
        """See ReembeddableConcepts."""
        return await (await self._of(owner)).complete(owner, space, embeddings)

    async def keep_only(self, owner: Owner, space: EmbeddingSpace) -> Moment | None:
        """See ReembeddableConcepts."""
        return await (await self._of(owner)).keep_only(owner, space)

    async def ping(self) -> None:
        """See ConceptMemory; asks one shelf, as all are of one cluster."""
        await self._memory(next(iter(self._memories), "")).ping()

    async def move(self, owner: Owner, shelf: str) -> Moved:
        """See MovableConcepts."""
        source, target = await self._of(owner), self._memory(shelf)
        records = await source.records(owner)
        if source is not target:
            await target.adopt(owner, records)
            arrived = await target.records(owner)
            if arrived.digest != records.digest:
                raise Conflict("What arrived is not what was sent; the owner stays where it is.")
            await self._shelves.place(owner, shelf)
        return Moved(len({row["concept_id"] for row in records.concepts}), records.digest)

    async def clear(self, owner: Owner) -> None:
        """See MovableConcepts."""
        shelf = await self._shelves.left_on(owner)
        if shelf is not None:
            await self._memory(shelf).adopt(owner, Records())
            await self._shelves.cleared(owner)

    async def close(self) -> None:
        """Ends all connections."""
        for memory in self._memories.values():
            await memory.close()

    async def _of(self, owner: Owner) -> MilvusMemory:
        return self._memory(await self._shelves.of(owner))

    def _memory(self, shelf: str) -> MilvusMemory:
        if shelf not in self._memories:
            self._memories[shelf] = self._opened(shelf)
        return self._memories[shelf]
