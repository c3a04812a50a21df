"""A concept memory in which only the owner's seal opens what an owner said.

What the memory below gets to keep is the concept's skeleton: ids, versions, times, boxes and embeddings, which it
searches. Texts travel closed, in the place of ``info``; the place of the name holds a keyed hash of it, so that names
stay unique. What an earlier epoch's seal closed is not there, until ``purge`` takes it away.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rap_serve.domain.catalogue import Seal, Seals
from rap_serve.domain.concept import Concept, ConceptVersion, EmbeddingSpace, Owner, fold_name
from rap_serve.domain.errors import ConceptNotFound, NameTaken, name_taken
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import ConceptMemory, Moment, Neighbour

VERSION_TEXTS = ("name", "category", "info", "metadata", "write_id")


class SealedMemory:
    """Any concept memory, its texts closed by their owners' seals."""

    def __init__(self, memory: ConceptMemory, seals: Seals, *, space: EmbeddingSpace) -> None:
        """``space``: where a caller names none."""
        self._memory = memory
        self._seals = seals
        self._space = space

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        """See ConceptMemory."""
        space = space or self._space
        seal = await self._seals.of(owner)
        if seal is None:
            return Library.of([], space)
        sealed = await self._memory.library(owner, space=space, after=after)
        return await asyncio.to_thread(_opened_library, seal, sealed)

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """See ConceptMemory."""
        seal = await self._seals.made(concept.owner)
        try:
            return await self._memory.put(_closed(seal, concept), expected_version=expected_version, after=after)
        except NameTaken:
            raise name_taken(concept.name) from None

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """See ConceptMemory."""
        seal = await self._seals.made(owner)
        return await self._memory.add(owner, [_closed(seal, c) for c in concepts], after=after)

    async def delete(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, after: Moment | None = None
    ) -> tuple[Concept, Moment | None]:
        """See ConceptMemory."""
        seal = await self._seals.of(owner)
        if seal is None:
            raise ConceptNotFound(f"There is no concept {concept_id!r} here.")
        gone, moment = await self._memory.delete(owner, concept_id, expected_version=expected_version, after=after)
        opened = _opened(seal, gone)
        if opened is None:
            raise ConceptNotFound(f"There is no concept {concept_id!r} here.")
        return opened, moment

    async def remove(self, owner: Owner, concept_ids: Sequence[str]) -> Moment | None:
        """See ConceptMemory."""
        return await self._memory.remove(owner, concept_ids)

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """See ConceptMemory."""
        seal = await self._seals.of(owner)
        if seal is None:
            return ()
        found = await self._memory.history(owner, concept_id, after=after)
        texts = [_texts(seal, version.info, concept_id, version.version) for version in found]
        return tuple(
            replace(version, **{name: said[name] for name in VERSION_TEXTS})
            for version, said in zip(found, texts, strict=True)
            if said is not None
        )

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
        known = {c.id for c in (await self.library(owner, after=after)).concepts}
        found = await self._memory.nearest(owner, queries, k=k, space=space, after=after)
        return [[near for near in row if near.concept_id in known] for row in found]

    async def purge(self, owner: Owner) -> dict[str, int]:
        """See SealedConcepts."""
        seal = await self._seals.of(owner)
        sealed = (await self._memory.library(owner)).concepts
        gone = [c for c in sealed if seal is None or _opened(seal, c) is None]
        await self._memory.remove(owner, [concept.id for concept in gone])
        return {"concepts": len(gone), "avatars": sum(len(concept.avatars) for concept in gone)}

    async def ping(self) -> None:
        """See ConceptMemory."""
        await self._memory.ping()


def _closed(seal: Seal, concept: Concept) -> Concept:
    """The skeleton of a concept, its texts closed."""
    texts = {
        "name": concept.name,
        "category": concept.category,
        "info": concept.info,
        "info_generated": concept.info_generated,
        "metadata": dict(concept.metadata),
        "write_id": concept.write_id,
    }
    sealed = seal.close(
        json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass"), _purpose(concept.id, concept.version)
    )
    return replace(
        concept,
        name=seal.hashed(fold_name(concept.name)),
        category="",
        info=base64.b64encode(sealed).decode(),
        info_generated=False,
        metadata={},
        write_id="",
    )


def _opened(seal: Seal, sealed: Concept) -> Concept | None:
    """The concept behind a skeleton; None where another seal closed it."""
    texts = _texts(seal, sealed.info, sealed.id, sealed.version)
    return None if texts is None else replace(sealed, **texts)


def _texts(seal: Seal, sealed: str, concept_id: str, version: int) -> dict[str, Any] | None:
    try:
        opened = seal.open(base64.b64decode(sealed), _purpose(concept_id, version))
    except ValueError:
        return None
    return dict(json.loads(opened.decode("utf-8", "surrogatepass")))


def _opened_library(seal: Seal, sealed: Library) -> Library:
    opened = [concept for skeleton in sealed.concepts if (concept := _opened(seal, skeleton)) is not None]
    if len(opened) < len(sealed.concepts):
        return Library.of(opened, sealed.space)
    return Library(sealed.space, tuple(opened), sealed.matrix, sealed.starts, sealed.shows)


def _purpose(concept_id: str, version: int) -> str:
    """Bound to its place: no concept's texts can be passed off as another's, nor an old version's as a new one's."""
    return f"concept {concept_id} {version}"
