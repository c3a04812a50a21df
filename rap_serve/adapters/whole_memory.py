"""A concept memory that says so where it does not find all that an owner holds.

A database that comes back after a crash may answer before it has read all of its log again; one that lost a disk does
so for ever. Both give fewer rows and no error. What is missing would be denied to its owner, and the rest be kept as a
copy. The catalogue counts every write that was acknowledged: a library with fewer concepts is not the owner's.
"""

import asyncio
import logging
from collections.abc import Sequence

from rap_serve.domain.catalogue import Quotas
from rap_serve.domain.concept import Concept, ConceptVersion, EmbeddingSpace, Owner
from rap_serve.domain.errors import ConceptNotFound, Incomplete, VersionMismatch
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import ConceptMemory, Moment, Neighbour

_log = logging.getLogger(__name__)


class WholeMemory:
    """The port ``ConceptMemory``. Raises Incomplete where an answer would rest on a part of an owner's concepts."""

    def __init__(self, memory: ConceptMemory, quotas: Quotas) -> None:
        self._memory = memory
        self._quotas = quotas

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        """See ConceptMemory."""
        counted, library = await asyncio.gather(
            self._quotas.counted(owner), self._memory.library(owner, space=space, after=after)
        )
        if len(library.concepts) >= counted.least:
            return library
        return await self._read_between_counts(owner, space)

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """See ConceptMemory."""
        try:
            return await self._memory.put(concept, expected_version=expected_version, after=after)
        except (ConceptNotFound, VersionMismatch):
            await self._require_whole(concept.owner, falling=0)
            raise

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """See ConceptMemory."""
        return await self._memory.add(owner, concepts, after=after)

    async def delete(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, after: Moment | None = None
    ) -> tuple[Concept, Moment | None]:
        """See ConceptMemory."""
        try:
            return await self._memory.delete(owner, concept_id, expected_version=expected_version, after=after)
        except (ConceptNotFound, VersionMismatch):
            await self._require_whole(owner, falling=1)
            raise

    async def remove(self, owner: Owner, concept_ids: Sequence[str]) -> Moment | None:
        """See ConceptMemory."""
        return await self._memory.remove(owner, concept_ids)

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """See ConceptMemory."""
        return await self._memory.history(owner, concept_id, after=after)

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
        return await self._memory.nearest(owner, queries, k=k, space=space, after=after)

    async def ping(self) -> None:
        """See ConceptMemory."""
        await self._memory.ping()

    async def _require_whole(self, owner: Owner, *, falling: int) -> None:
        """For a write that did not find its concept. ``falling``: what it would have taken away. Raises Incomplete."""
        counted, library = await self._quotas.counted(owner), await self._memory.library(owner)
        if len(library.concepts) < counted.least + falling:
            raise _missing(len(library.concepts), counted.settled)

    async def _read_between_counts(self, owner: Owner, space: EmbeddingSpace | None) -> Library:
        """The library as it is now. Raises Incomplete where it lacks concepts and no write explains it."""
        before = await self._quotas.counted(owner)
        library = await self._memory.library(owner, space=space)
        if len(library.concepts) < min(before.least, (await self._quotas.counted(owner)).least):
            raise _missing(len(library.concepts), before.settled)
        return library


def _missing(found: int, counted: int) -> Incomplete:
    _log.error("the concept memory holds %d of the %d concepts of a user", found, counted)
    return Incomplete("The concept memory does not find all concepts of this user right now; try again in a moment.")
