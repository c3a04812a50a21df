"""The checker of stores finds what was planted, on Lite and on the server."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.wholeness import Stores
from rap_serve.adapters.blob_store import FsspecBlobStore
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_schema import avatar_pks, key_of, record_row
from rap_serve.adapters.milvus_tables import Job, Tables
from rap_serve.adapters.sealed_blobs import SealedBlobStore
from rap_serve.domain.concept import Avatar, Concept, Owner, new_ulid
from rap_serve.domain.tenancy import holdings
from tests.contract.conftest import SPACE

PICTURE = b"picture"


@pytest.fixture
def stores(milvus_uri: str, tmp_path: Path, database: Database) -> Stores:
    """Those of a service."""
    return Stores(milvus_uri, tmp_path / "blobs", database)


async def kept(stores: Stores, memory: MilvusMemory, owners: SqlOwners, quotas: SqlQuotas) -> Concept:
    """A concept that is whole, in all stores."""
    owner = Owner("contract", f"u-{new_ulid()}")
    blobs = SealedBlobStore(FsspecBlobStore(str(stores.blobs)), owners)
    key = await blobs.put(owner, "0" * 64, PICTURE, "image/jpeg")
    vector = np.eye(1, SPACE.dim, dtype=np.float32)[0]
    avatar = Avatar(
        id=new_ulid(), image_key=key, size_bytes=len(PICTURE), picture_size=(1, 1), box_xyxy=None,
        embeddings={SPACE.version: vector},
    )  # fmt: skip
    texts = {"name": "bo", "category": "dog", "info": "A dog."}
    concept = Concept(id=new_ulid(), owner=owner, **texts, version=1, created_at=1, updated_at=1, avatars=(avatar,))
    await memory.put(concept, expected_version=None)
    await quotas.correct(owner, holdings([concept]))
    return concept


async def test_what_is_whole_has_no_faults(
    stores: Stores, memory: MilvusMemory, owners: SqlOwners, quotas: SqlQuotas
) -> None:
    """And nothing is left over."""
    concept = await kept(stores, memory, owners, quotas)
    found = await stores.examined([concept.owner])
    assert found == {"owners": 1, "concepts": 1, "pictures": 1, "faults": {}, "leftovers": {}}


async def test_every_planted_fault_is_found(
    stores: Stores, memory: MilvusMemory, owners: SqlOwners, quotas: SqlQuotas
) -> None:
    """A picture gone, one cut short, rows for vector search gone, an owner charged for more."""
    gone, short, unfound, charged = [await kept(stores, memory, owners, quotas) for _ in range(4)]
    (stores.blobs / gone.avatars[0].image_key).unlink()
    (stores.blobs / short.avatars[0].image_key).write_bytes(b"pic")
    tables, job = Tables(uri=stores.milvus_uri, token="", prefix="rap"), Job(30)
    with tables.turn(job):
        row = record_row(unfound, key_of(SPACE.version), [unfound.avatars[0].embeddings[SPACE.version]])
        tables.delete(tables.avatars_of(SPACE.dim, job), avatar_pks(row), job)
    tables.close()
    await quotas.correct(charged.owner, replace(holdings([charged]), avatars=2))
    found = await stores.examined([c.owner for c in (gone, short, unfound, charged)])
    assert found["faults"] == {
        "pictures that are not there": 1,
        "pictures of another size": 1,
        "concepts that no vector search finds": 1,
        "owners charged for something else": 1,
    }


async def test_what_dead_writers_left_is_told_apart(
    stores: Stores, memory: MilvusMemory, owners: SqlOwners, quotas: SqlQuotas
) -> None:
    """It is no fault."""
    concept = await kept(stores, memory, owners, quotas)
    (stores.blobs / concept.owner.scope / f"{'1' * 64}.jpg").write_bytes(b"of nobody")
    found = await stores.examined([concept.owner])
    assert (found["faults"], found["leftovers"]) == ({}, {"pictures of no concept": 1})
