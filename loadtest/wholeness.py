"""Is what is stored whole? Memory, pictures and catalogue of some owners, read in full and held against each other.

Faults are what somebody would miss: a concept without its picture, its embeddings or its rows for vector search, a file
of another size than was stored, an owner who is charged for something else than there is. Leftovers are what dead
writers left behind that no reader sees: pictures of no concept, and rows of versions that never came to be or were
replaced; the owner's next write, or an erasure, takes rows away.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import NONCE_BYTES, at
from rap_serve.adapters.catalogue.schema import owners, reservations
from rap_serve.adapters.milvus_schema import (
    WHOLE_FIELDS,
    Row,
    avatar_pks,
    concept_of,
    known_embeddings,
    newest,
    of_owner,
)
from rap_serve.adapters.milvus_tables import Job, Tables
from rap_serve.domain.concept import Concept, Owner
from rap_serve.domain.tenancy import Amounts, holdings

PATIENCE_SECONDS = 300.0
POLL_SECONDS = 2.0
JOB_SECONDS = 60.0
SEAL_BYTES = NONCE_BYTES + 16


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a service keeps what it stores."""

    milvus_uri: str
    blobs: Path
    database: Database

    async def examined(self, some: Sequence[Owner]) -> dict[str, Any]:
        """What there is of these owners, and what is wrong with it, once all writes are settled."""
        await self._settled()
        there, faults, leftovers = Counter[str](), Counter[str](), Counter[str]()
        shelves: dict[str, Tables] = {}
        for owner in some:
            shelf, counted = await self._catalogued(owner)
            if shelf not in shelves:
                prefix = f"rap_{shelf}" if shelf else "rap"
                shelves[shelf] = Tables(uri=self.milvus_uri, token="", prefix=prefix)
            rows, searched = await asyncio.to_thread(_read, shelves[shelf], owner)
            heads = newest(rows)
            concepts = [concept_of(row, owner, "") for row in heads]
            there.update(concepts=len(concepts), pictures=sum(len(c.avatars) for c in concepts))
            faults.update(self._lost_pictures(concepts))
            faults.update(_lost_rows(rows, heads, searched))
            faults["owners charged for something else"] += counted != holdings(concepts)
            leftovers["pictures of no concept"] += len(
                self._files(owner) - {a.image_key for c in concepts for a in c.avatars}
            )
            current = {(r["concept_id"], r["version"]) for r in heads}
            leftovers["rows of no version"] += sum((r["concept_id"], r["version"]) not in current for r in rows)
        for tables in shelves.values():
            tables.close()
        return {"owners": len(some), **there, "faults": dict(+faults), "leftovers": dict(+leftovers)}

    async def _settled(self) -> None:
        """Raises TimeoutError where the catalogue waits too long for what came of a write."""
        query = select(reservations.c.id).limit(1)
        patience = time.monotonic() + PATIENCE_SECONDS
        while await self.database.read(lambda connection: connection.execute(query).first()) is not None:
            if time.monotonic() > patience:
                raise TimeoutError("There are writes that nobody settles.")
            await asyncio.sleep(POLL_SECONDS)

    async def _catalogued(self, owner: Owner) -> tuple[str, Amounts]:
        query = select(owners.c.shelf, owners.c.concepts, owners.c.avatars, owners.c.bytes).where(at(owner))
        found = await self.database.read(lambda connection: connection.execute(query).first())
        if found is None:
            return "", Amounts()
        return found[0], Amounts(concepts=found[1], avatars=found[2], bytes=found[3])

    def _files(self, owner: Owner) -> set[str]:
        return {f"{owner.scope}/{path.name}" for path in (self.blobs / owner.scope).glob("*") if path.is_file()}

    def _lost_pictures(self, concepts: Sequence[Concept]) -> Iterator[str]:
        for avatar in (avatar for concept in concepts for avatar in concept.avatars):
            path = self.blobs / avatar.image_key
            if not path.is_file():
                yield "pictures that are not there"
            elif path.stat().st_size != avatar.size_bytes + SEAL_BYTES:
                yield "pictures of another size"


def _read(tables: Tables, owner: Owner) -> tuple[list[Row], set[str]]:
    """All rows of an owner's concepts, and the keys of all for vector search."""
    job = Job(JOB_SECONDS)
    with tables.turn(job):
        rows = tables.query(tables.concepts, of_owner(owner), WHOLE_FIELDS, job)
        searched = [tables.query(table, of_owner(owner), ("pk",), job) for table in tables.avatars(job).values()]
    return rows, {row["pk"] for some in searched for row in some}


def _lost_rows(rows: Sequence[Row], heads: Sequence[Row], searched: set[str]) -> Iterator[str]:
    current = {(row["concept_id"], row["version"]) for row in heads}
    for row in rows:
        if (row["concept_id"], row["version"]) in current:
            if len(known_embeddings(row)) != row["avatar_count"]:
                yield "concepts without embeddings"
            if not searched.issuperset(avatar_pks(row)):
                yield "concepts that no vector search finds"
