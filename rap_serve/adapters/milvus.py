"""The concept memory on Milvus: a cluster, or a Milvus Lite server."""

import asyncio
import contextlib
import logging
import re
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial
from typing import TypeVar

from rap_serve.adapters.milvus_schema import (
    BODY_FIELDS,
    HEAD_FIELDS,
    MAX_DIM,
    RECORD_FIELDS,
    VERSION_FIELDS,
    WHOLE_FIELDS,
    Records,
    Row,
    avatar_ids,
    avatar_pks,
    avatar_rows,
    concept_of,
    history_pk,
    history_row,
    key_of,
    known_embeddings,
    literal,
    name_key,
    newest,
    of_owner,
    one_of,
    record_row,
    version_of,
    with_embeddings,
)
from rap_serve.adapters.milvus_tables import Job, Tables
from rap_serve.adapters.threads import Threads
from rap_serve.domain.catalogue import Counted
from rap_serve.domain.concept import MAX_VERSIONS, Concept, ConceptVersion, EmbeddingSpace, Owner, Vector
from rap_serve.domain.errors import ConceptNotFound, InvalidInput, Unavailable, VersionMismatch, name_taken
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import Moment, Neighbour

THREADS = 8
GRACE_MS = 600_000  # how old a row of no concept must be before it is taken for a dead writer's
MAX_SEARCH_ROWS = 16_384
REMOVED_AT_ONCE = 200

T = TypeVar("T")
_CONCEPT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


class MilvusMemory:
    """Concepts in Milvus.

    The highest version of a concept that has a row is the concept; inserting that row is the commit.
    A write first adds the rows for vector search and the version that it replaces to the history, then commits,
    then removes what it replaced, so a writer that dies leaves either version whole. Only versions below the
    concept's own are its history. What a writer leaves behind is ignored by readers and removed by the owner's
    next write. Writers of one owner wait for each other within this process; several gateways
    are kept apart by the cache's ``writing``.
    """

    def __init__(
        self,
        *,
        uri: str,
        token: str = "",
        space: EmbeddingSpace,
        timeout_seconds: float = 10.0,
        prefix: str = "rap",
        counted: Callable[[Owner], Awaitable[Counted]] | None = None,
    ) -> None:
        """``space``: where a caller names none; ``prefix``: of the collections' names. Connects on first use.

        ``counted``: how many concepts an owner has, the write that asks among those under way. Where fewer are found,
        nothing is taken for a dead writer's.
        """
        if space.dim > MAX_DIM:
            raise InvalidInput(f"Embeddings of {space.dim} numbers are too long; the limit is {MAX_DIM}.")
        self._tables = Tables(uri=uri, token=token, prefix=prefix)
        self._space = space
        self._timeout = timeout_seconds
        self._counted = counted
        self._threads = Threads(THREADS, "milvus")
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._swept: set[str] = set()
        self._flushing: asyncio.Task[None] | None = None

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        """See ConceptMemory."""
        return await self._read(lambda job: self._library(owner, space or self._space, job), after)

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """See ConceptMemory. When it raises Unavailable, the write may still have happened."""
        _, moment = await self._write(concept.owner, lambda job: self._put(concept, expected_version, job), after)
        return moment

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """See ConceptMemory."""
        return await self._write(owner, lambda job: self._add(owner, concepts, job), after)

    async def delete(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, after: Moment | None = None
    ) -> tuple[Concept, Moment | None]:
        """See ConceptMemory."""
        if not _CONCEPT_ID.fullmatch(concept_id):
            raise ConceptNotFound("There is no such concept here.")
        return await self._write(owner, lambda job: self._delete(owner, concept_id, expected_version, job), after)

    async def remove(self, owner: Owner, concept_ids: Sequence[str]) -> Moment | None:
        """See ConceptMemory."""
        moment: Moment | None = None
        for start in range(0, len(concept_ids), REMOVED_AT_ONCE):
            work = partial(self._remove, owner, concept_ids[start : start + REMOVED_AT_ONCE])
            _, moment = await self._write(owner, work, None)
        return moment

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """See ConceptMemory."""
        if not _CONCEPT_ID.fullmatch(concept_id):
            return ()
        return await self._read(lambda job: self._history(owner, concept_id, job), after)

    async def records(self, owner: Owner) -> Records:
        """All that is stored of an owner, as it lies here."""
        return await self._read(lambda job: self._records(owner, job), None)

    async def adopt(self, owner: Owner, records: Records) -> Moment | None:
        """Holds ``records`` and nothing else of the owner."""
        _, moment = await self._write(owner, lambda job: self._adopt(owner, records, job), None)
        return moment

    async def complete(self, owner: Owner, space: EmbeddingSpace, embeddings: Mapping[str, Vector]) -> Moment | None:
        """See ReembeddableConcepts."""
        _, moment = await self._write(owner, lambda job: self._complete(owner, space, embeddings, job), None)
        return moment

    async def keep_only(self, owner: Owner, space: EmbeddingSpace) -> Moment | None:
        """See ReembeddableConcepts."""
        _, moment = await self._write(owner, lambda job: self._keep_only(owner, space, job), None)
        return moment

    async def nearest(
        self,
        owner: Owner,
        queries: Matrix,
        *,
        k: int,
        space: EmbeddingSpace | None = None,
        after: Moment | None = None,
    ) -> list[list[Neighbour]]:
        """See ConceptMemory; exact."""
        if not len(queries):
            return []
        return await self._read(lambda job: self._nearest(owner, queries, k, space or self._space, job), after)

    async def ping(self) -> None:
        """See ConceptMemory."""
        await self._read(self._tables.ping, None)

    async def close(self) -> None:
        """Ends the connection and its threads."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        await self._threads.close()
        self._tables.close()

    def _library(self, owner: Owner, space: EmbeddingSpace, job: Job) -> Library:
        rows = self._tables.query(self._tables.concepts, of_owner(owner), RECORD_FIELDS, job)
        heads = newest(rows, embedder=key_of(space.version))
        return Library.of([concept_of(row, owner, space.version) for row in heads], space)

    def _put(self, concept: Concept, expected_version: int | None, job: Job) -> None:
        owner, key = concept.owner, name_key(concept.name)
        condition = f"concept_id == {literal(concept.id)} or name_key == {literal(key)}"
        rows = self._rows(self._tables.concepts, owner, condition, (*HEAD_FIELDS, *BODY_FIELDS), job)
        mine = [r for r in rows if r["concept_id"] == concept.id]
        _check_version(concept.id, newest(mine), expected_version)
        if any(r["version"] >= concept.version for r in mine):
            raise VersionMismatch(f"The concept is already past version {concept.version}.")
        others = {r["concept_id"] for r in rows} - {concept.id}
        if others and any(r["name_key"] == key for r in newest(self._heads(owner, one_of(others), job))):
            raise name_taken(concept.name)
        self._tables.insert(self._tables.history, [history_row(r, owner) for r in newest(mine)], job)
        self._insert(self._seen(concept, [r for r in mine if r["version"] == expected_version], job), job)
        outdated = history_pk(owner.scope, concept.id, concept.version - MAX_VERSIONS)
        self._remove_after_commit(owner, mine, [outdated] if concept.version > MAX_VERSIONS else [], job)

    def _seen(self, concept: Concept, replaced: list[Row], job: Job) -> list[Row]:
        """The concept as each embedder sees it: with the embeddings that it brings and those that are stored.

        ``replaced``: the rows of the version before it. An embedder that has not seen all of its avatars is left out.
        """
        brought: dict[str, dict[str, Vector]] = {row["embedder"]: {} for row in replaced}
        for avatar in concept.avatars:
            for version, vector in avatar.embeddings.items():
                brought.setdefault(key_of(version), {})[avatar.id] = vector
        wanted = [avatar.id for avatar in concept.avatars]
        pks = [row["pk"] for row in replaced if brought[row["embedder"]].keys() != set(wanted)]
        condition = f"pk in [{', '.join(map(literal, pks))}]"
        for row in self._rows(self._tables.concepts, concept.owner, condition, WHOLE_FIELDS, job) if pks else []:
            brought[row["embedder"]] = known_embeddings(row) | brought[row["embedder"]]
        seen = {e: [known[id_] for id_ in wanted] for e, known in brought.items() if known.keys() >= set(wanted)}
        return [record_row(concept, e, v) for e, v in (seen or {key_of(self._space.version): []}).items()]

    def _insert(self, records: list[Row], job: Job) -> None:
        """Commits: what searches need goes first, then all records as one operation."""
        now_ms = time.time_ns() // 1_000_000
        rows = [row for record in records for row in avatar_rows(record, now_ms=now_ms)]
        for dim in {len(row["vector"]) for row in rows}:
            as_long = [row for row in rows if len(row["vector"]) == dim]
            self._tables.insert(self._tables.avatars_of(dim, job), as_long, job)
        self._tables.insert(self._tables.concepts, records, job)

    def _delete_avatars(self, records: Sequence[Row], job: Job) -> None:
        """What searches need of these records, however long their embeddings are."""
        pks = [pk for record in records for pk in avatar_pks(record)]
        for table in self._tables.avatars(job).values():
            self._tables.delete(table, pks, job)

    def _complete(self, owner: Owner, space: EmbeddingSpace, embeddings: Mapping[str, Vector], job: Job) -> None:
        """Adds to current versions the rows of an embedder that had not seen them."""
        embedder = key_of(space.version)
        rows = newest(self._rows(self._tables.concepts, owner, "version > 0", WHOLE_FIELDS, job), embedder=embedder)
        lacking = [row for row in rows if row["embedder"] != embedder or not known_embeddings(row)]
        ready = [row for row in lacking if embeddings.keys() >= set(avatar_ids(row))]
        made = [with_embeddings(r, embedder, [embeddings[id_] for id_ in avatar_ids(r)]) for r in ready]
        self._tables.delete(self._tables.concepts, [r["pk"] for r in ready if r["embedder"] == embedder], job)
        self._insert(made, job)

    def _keep_only(self, owner: Owner, space: EmbeddingSpace, job: Job) -> None:
        """Removes the rows of other embedders, of concepts that this one has seen."""
        embedder = key_of(space.version)
        rows = self._heads(owner, "version > 0", job)
        heads = newest(rows, embedder=embedder)
        ours = {(r["concept_id"], r["version"]) for r in heads if r["embedder"] == embedder}
        gone = [r for r in rows if r["embedder"] != embedder and (r["concept_id"], r["version"]) in ours]
        self._tables.delete(self._tables.concepts, [r["pk"] for r in gone], job)
        self._delete_avatars(gone, job)

    def _add(self, owner: Owner, concepts: Sequence[Concept], job: Job) -> frozenset[str]:
        names = self._taken(owner, {name_key(concept.name) for concept in concepts}, job)
        free: list[Concept] = []
        for concept in concepts:
            key = name_key(concept.name)
            if key not in names:
                names.add(key)
                free.append(concept)
        self._insert([row for concept in free for row in self._seen(concept, [], job)], job)
        return frozenset(c.id for c in concepts) - {c.id for c in free}

    def _taken(self, owner: Owner, keys: Set[str], job: Job) -> set[str]:
        """Which of these names current concepts have."""
        named = self._heads(owner, f"name_key in [{', '.join(map(literal, sorted(keys)))}]", job)
        if not named:
            return set()
        return {r["name_key"] for r in newest(self._heads(owner, one_of({r["concept_id"] for r in named}), job))}

    def _delete(self, owner: Owner, concept_id: str, expected_version: int | None, job: Job) -> Concept:
        mine = one_of([concept_id])
        rows = self._rows(self._tables.concepts, owner, mine, WHOLE_FIELDS, job)
        if not rows:
            raise ConceptNotFound(f"There is no concept {concept_id!r} here.")
        (head,) = newest(rows, embedder=key_of(self._space.version))
        if expected_version is not None:
            _check_version(concept_id, [head], expected_version)
        gone = concept_of(head, owner, self._space.version)
        self._take_away(owner, rows, job)
        return gone

    def _remove(self, owner: Owner, concept_ids: Sequence[str], job: Job) -> None:
        rows = self._heads(owner, one_of(concept_ids), job)
        if rows:
            self._take_away(owner, rows, job)

    def _take_away(self, owner: Owner, rows: list[Row], job: Job) -> None:
        """Removes the concepts whose rows these are, their present versions last: no earlier one comes to light."""
        heads = {r["concept_id"]: r["version"] for r in newest(rows)}
        past = [r["pk"] for r in self._rows(self._tables.history, owner, one_of(heads), ("pk",), job)]
        older = [r["pk"] for r in rows if r["version"] < heads[r["concept_id"]]]
        current = [r["pk"] for r in rows if r["version"] == heads[r["concept_id"]]]
        self._tables.delete(self._tables.concepts, older, job)
        self._tables.delete(self._tables.concepts, current, job)
        self._remove_after_commit(owner, rows, past, job)

    def _records(self, owner: Owner, job: Job) -> Records:
        concepts = self._rows(self._tables.concepts, owner, "version > 0", WHOLE_FIELDS, job)
        history = self._rows(self._tables.history, owner, "version > 0", ("pk", *VERSION_FIELDS), job)
        return Records.of(concepts, history)

    def _adopt(self, owner: Owner, records: Records, job: Job) -> None:
        """What is there already, from an earlier attempt perhaps, makes room first."""
        there = self._records(owner, job)
        self._delete_avatars(there.concepts, job)
        self._tables.delete(self._tables.concepts, [row["pk"] for row in there.concepts], job)
        self._tables.delete(self._tables.history, [row["pk"] for row in there.history], job)
        kept = {"scope": owner.scope, "vector": [0.0, 0.0]}
        self._tables.insert(self._tables.history, [{**row, **kept} for row in records.history], job)
        self._insert([{**row, **kept} for row in records.concepts], job)

    def _history(self, owner: Owner, concept_id: str, job: Job) -> tuple[ConceptVersion, ...]:
        mine = one_of([concept_id])
        heads = newest(self._rows(self._tables.concepts, owner, mine, VERSION_FIELDS, job))
        past = self._rows(self._tables.history, owner, mine, VERSION_FIELDS, job)
        versions = {r["version"]: r for head in heads for r in (head, *past) if r["version"] <= head["version"]}
        return tuple(version_of(versions[v]) for v in sorted(versions, reverse=True)[:MAX_VERSIONS])

    def _remove_after_commit(self, owner: Owner, rows: list[Row], past: list[str], job: Job) -> None:
        """Removes replaced rows, and of the history those with the keys ``past``.

        The write has succeeded already: what fails here is left to the next one.
        """
        try:
            self._tables.delete(self._tables.concepts, [r["pk"] for r in rows], job)
            self._delete_avatars(rows, job)
            self._tables.delete(self._tables.history, past, job)
        except Unavailable:
            self._swept.discard(owner.scope)
            _log.warning("replaced rows were left behind")

    async def _swept_after(self, owner: Owner, write: Job) -> None:
        """Removes what dead writers left, once per process and owner, and again after a write that failed."""
        try:
            expected = (await self._counted(owner)).expected if self._counted else 0
            await self._in_thread(lambda job: self._sweep(owner, expected, job), Job(self._timeout, write.moment))
        except Unavailable:
            _log.warning("what dead writers left stays until the next write")

    def _sweep(self, owner: Owner, expected: int, job: Job) -> None:
        heads = self._heads(owner, "version > 0", job)
        current = {(r["concept_id"], r["version"]) for r in newest(heads)}
        if len(current) < expected:
            return  # Milvus does not find all of its rows just now
        old = [r["pk"] for r in heads if (r["concept_id"], r["version"]) not in current]
        condition = f"{of_owner(owner)} and written_at < {time.time_ns() // 1_000_000 - GRACE_MS}"
        for table in self._tables.avatars(job).values():
            rows = self._tables.query(table, condition, ("pk", "concept_id", "version"), job)
            orphans = [r["pk"] for r in rows if (r["concept_id"], r["version"]) not in current]
            self._tables.delete(table, orphans, job)
        alive = {concept_id for concept_id, _ in current}
        past = self._rows(self._tables.history, owner, "version > 0", ("pk", "concept_id"), job)
        self._tables.delete(self._tables.concepts, old, job)
        self._tables.delete(self._tables.history, [r["pk"] for r in past if r["concept_id"] not in alive], job)
        self._swept.add(owner.scope)

    def _nearest(self, owner: Owner, queries: Matrix, k: int, space: EmbeddingSpace, job: Job) -> list[list[Neighbour]]:
        """Searches wider until enough of what is found is current."""
        table = self._tables.avatars_of(space.dim, job)
        condition = f"{of_owner(owner)} and embedder == {literal(key_of(space.version))}"
        limit = k
        while True:
            limit = min(limit, MAX_SEARCH_ROWS)
            found = self._tables.search(table, condition, queries, limit, job)
            ids = {hit["concept_id"] for hits in found for hit in hits}
            heads = newest(self._heads(owner, one_of(ids), job)) if ids else []
            current = {(r["concept_id"], r["version"]) for r in heads}
            kept = [[h for h in hits if (h["concept_id"], h["version"]) in current] for hits in found]
            if limit == MAX_SEARCH_ROWS or all(
                len(good) >= k or len(hits) < limit for good, hits in zip(kept, found, strict=True)
            ):
                return [
                    [Neighbour(h["concept_id"], h["avatar_id"], float(h["distance"])) for h in hits[:k]]
                    for hits in kept
                ]
            limit = 2 * limit + 16

    def _heads(self, owner: Owner, condition: str, job: Job) -> list[Row]:
        return self._rows(self._tables.concepts, owner, condition, HEAD_FIELDS, job)

    def _rows(self, table: str, owner: Owner, condition: str, fields: Sequence[str], job: Job) -> list[Row]:
        return self._tables.query(table, f"{of_owner(owner)} and ({condition})", fields, job)

    async def _read(self, work: Callable[[Job], T], after: Moment | None) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._in_thread(work, Job(self._timeout, after))
        except TimeoutError:
            raise Unavailable("The concept memory did not answer in time.") from None

    async def _write(self, owner: Owner, work: Callable[[Job], T], after: Moment | None) -> tuple[T, Moment | None]:
        """Once begun, a write is waited for even by a caller that was cancelled: what comes after relies on it."""
        lock = self._locks.setdefault(owner.scope, asyncio.Lock())
        async with lock:
            job = Job(self._timeout, after)
            task = asyncio.ensure_future(self._done(owner, work, job))
            try:
                result = await asyncio.shield(task)
            except asyncio.CancelledError:
                while not task.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([task])
                raise
            except Unavailable:
                self._swept.discard(owner.scope)
                raise
        if self._tables.flush_due and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.create_task(self._flush())
        return result, job.moment

    async def _done(self, owner: Owner, work: Callable[[Job], T], job: Job) -> T:
        result = await self._in_thread(work, job)
        if owner.scope not in self._swept:
            await self._swept_after(owner, job)
        return result

    async def _flush(self) -> None:
        try:
            await self._in_thread(self._tables.flush, Job(self._timeout))
        except Unavailable:
            _log.warning("a flush failed; the next write tries again")

    async def _in_thread(self, work: Callable[[Job], T], job: Job) -> T:
        def run() -> T:
            with self._tables.turn(job):
                return work(job)

        return await self._threads.run(run)


def _check_version(concept_id: str, heads: list[Row], expected: int | None) -> None:
    """``heads``: the newest row of the concept, or nothing."""
    if not heads and expected is not None:
        raise ConceptNotFound(f"There is no concept {concept_id!r} here.")
    if heads and heads[0]["version"] != expected:
        raise VersionMismatch(f"The concept is at version {heads[0]['version']}, not {expected}.")
