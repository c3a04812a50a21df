"""The concept memory, counted, timed and traced; what it answers is what is behind it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.trace import SpanKind

from rap_serve.domain.concept import Concept, ConceptVersion, EmbeddingSpace, Owner
from rap_serve.domain.errors import RapError, Unavailable
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import Moment, Neighbour, SealedConcepts
from rap_serve.observability.attributes import DB_OPERATION, DB_SYSTEM
from rap_serve.observability.metrics import MemoryMetrics
from rap_serve.observability.tracing import Tracing


class WatchedMemory:
    """The port ``SealedConcepts``. A call that is left has no outcome."""

    def __init__(self, memory: SealedConcepts, metrics: MemoryMetrics, tracing: Tracing) -> None:
        self._memory = memory
        self._metrics = metrics
        self._tracing = tracing

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        """See ConceptMemory."""
        with self._watched("library"):
            return await self._memory.library(owner, space=space, after=after)

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """See ConceptMemory."""
        with self._watched("put"):
            return await self._memory.put(concept, expected_version=expected_version, after=after)

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """See ConceptMemory."""
        with self._watched("add"):
            return await self._memory.add(owner, concepts, after=after)

    async def delete(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, after: Moment | None = None
    ) -> tuple[Concept, Moment | None]:
        """See ConceptMemory."""
        with self._watched("delete"):
            return await self._memory.delete(owner, concept_id, expected_version=expected_version, after=after)

    async def remove(self, owner: Owner, concept_ids: Sequence[str]) -> Moment | None:
        """See ConceptMemory."""
        with self._watched("remove"):
            return await self._memory.remove(owner, concept_ids)

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """See ConceptMemory."""
        with self._watched("history"):
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
        with self._watched("nearest"):
            return await self._memory.nearest(owner, queries, k=k, space=space, after=after)

    async def purge(self, owner: Owner) -> dict[str, int]:
        """See SealedConcepts."""
        with self._watched("purge"):
            return await self._memory.purge(owner)

    async def ping(self) -> None:
        """See ConceptMemory."""
        with self._watched("ping"):
            await self._memory.ping()

    @contextmanager
    def _watched(self, call: str) -> Iterator[None]:
        attributes = {DB_SYSTEM: "milvus", DB_OPERATION: call}
        began = time.perf_counter()
        with self._tracing.span(f"memory {call}", attributes, kind=SpanKind.CLIENT):
            try:
                yield
            except Unavailable:
                self._metrics.call(call, "unavailable", seconds=time.perf_counter() - began)
                raise
            except RapError:
                self._metrics.call(call, "refused", seconds=time.perf_counter() - began)
                raise
        self._metrics.call(call, "ok", seconds=time.perf_counter() - began)
