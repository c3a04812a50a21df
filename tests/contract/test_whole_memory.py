"""A memory of which a part is missing says so, and is not taken for what its owner has left."""

from collections.abc import AsyncIterator

import pytest

from rap_serve.adapters.catalogue.audit import SqlAudit
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_tables import Job
from rap_serve.adapters.whole_memory import WholeMemory
from rap_serve.domain.concept import Concept, Owner
from rap_serve.domain.errors import ConceptNotFound, Incomplete, VersionMismatch
from rap_serve.domain.tenancy import OPERATOR, Amounts, Caller, Tenant, holdings
from rap_serve.services.accept_loss import AcceptLoss, Loss
from rap_serve.services.commit import Commit
from tests.contract.conftest import SPACE, concept

CONCEPTS = ("bo", "mug")


@pytest.fixture
async def quotas(database: Database) -> SqlQuotas:
    """Of a tenant without limits. A write that is not settled is at once taken for a dead writer's."""
    await SqlTenants(database).add(Tenant(id="contract"), None)
    return SqlQuotas(database, lease_seconds=0)


@pytest.fixture
async def commit(quotas: SqlQuotas, owners: SqlOwners) -> Commit:
    """Around writes, as the service has it."""
    return Commit(cache=LocalCache(max_bytes=1_000_000), quotas=quotas, owners=owners)


@pytest.fixture
async def beneath(milvus_uri: str, quotas: SqlQuotas) -> AsyncIterator[MilvusMemory]:
    """The memory itself, which can lose rows and not know of it."""
    memory = MilvusMemory(uri=milvus_uri, space=SPACE, counted=quotas.counted)
    yield memory
    await memory.close()


@pytest.fixture
async def stored(beneath: MilvusMemory, quotas: SqlQuotas, commit: Commit, owner: Owner) -> list[Concept]:
    """Two concepts of the owner's, counted."""
    memory, made = WholeMemory(beneath, quotas), [concept(owner, name) for name in CONCEPTS]
    for one in made:
        async with commit(owner, holdings([one])):
            await memory.put(one, expected_version=None)
    return made


async def test_a_whole_memory_is_read_and_written(
    beneath: MilvusMemory, quotas: SqlQuotas, commit: Commit, stored: list[Concept], owner: Owner
) -> None:
    """Down to nothing; what is gone is not found."""
    memory = WholeMemory(beneath, quotas)
    assert (await quotas.counted(owner)).settled == 2
    for left, one in ((1, stored[0]), (0, stored[1])):
        async with commit(owner, -holdings([one])):
            await memory.delete(owner, one.id)
        assert len((await memory.library(owner)).concepts) == left
    with pytest.raises(ConceptNotFound):
        async with commit(owner, -holdings(stored[:1])):
            await memory.delete(owner, stored[0].id)


async def test_a_part_is_not_taken_for_all(
    beneath: MilvusMemory, quotas: SqlQuotas, commit: Commit, stored: list[Concept], owner: Owner
) -> None:
    """Neither read nor believed when it lacks what is to be edited; found again, all is as it was."""
    memory, (bo, mug) = WholeMemory(beneath, quotas), stored
    await beneath.remove(owner, [mug.id])
    with pytest.raises(Incomplete):
        await memory.library(owner)
    with pytest.raises(Incomplete):
        async with commit(owner, -holdings([mug])):
            await memory.delete(owner, mug.id)
    with pytest.raises(Incomplete):
        async with commit(owner, Amounts()):
            await memory.put(mug, expected_version=1)
    await beneath.put(mug, expected_version=None)
    assert {c.name for c in (await memory.library(owner)).concepts} == set(CONCEPTS)
    with pytest.raises(VersionMismatch):
        async with commit(owner, Amounts()):
            await memory.put(bo, expected_version=7)


async def test_a_write_under_way_explains_what_is_missing(
    beneath: MilvusMemory, quotas: SqlQuotas, commit: Commit, stored: list[Concept], owner: Owner
) -> None:
    """Readers go on while one deletes."""
    memory = WholeMemory(beneath, quotas)
    async with commit(owner, -holdings(stored[:1])):
        await memory.delete(owner, stored[0].id)
        assert len((await memory.library(owner)).concepts) == 1
    assert len((await memory.library(owner)).concepts) == 1


async def test_what_cannot_be_seen_is_not_cleaned_up(
    milvus_uri: str, beneath: MilvusMemory, quotas: SqlQuotas, commit: Commit, stored: list[Concept], owner: Owner
) -> None:
    """The history of a concept whose row a restarted Milvus does not find yet is not a dead writer's."""
    _, mug = stored
    for version in (2, 3):
        edited = concept(owner, mug.name, id=mug.id, version=version)
        await beneath.put(edited, expected_version=version - 1)
    rows = (await beneath.records(owner)).concepts
    beneath._tables.delete(beneath._tables.concepts, [r["pk"] for r in rows if r["concept_id"] == mug.id], Job(20))
    for counted, left in ((quotas.counted, 2), (None, 0)):
        restarted = MilvusMemory(uri=milvus_uri, space=SPACE, counted=counted)
        new = concept(owner, f"new-{left}")
        async with commit(owner, holdings([new])):
            await restarted.put(new, expected_version=None)
        history = (await restarted.records(owner)).history
        assert sum(row["concept_id"] == mug.id for row in history) == left
        await restarted.close()


async def test_a_loss_is_accepted_once_and_written_down(
    database: Database,
    beneath: MilvusMemory,
    quotas: SqlQuotas,
    commit: Commit,
    stored: list[Concept],
    owner: Owner,
) -> None:
    """Then what is left is all there is, and can be written to; where nothing is missing nothing happens."""
    audit, cache = SqlAudit(database), LocalCache(max_bytes=1_000_000)
    accept = AcceptLoss(memory=beneath, cache=cache, quotas=quotas, audit=audit)
    operator = Caller("", "op", frozenset({OPERATOR}))
    assert await accept(operator, owner) == Loss(counted=2, found=2)
    await beneath.remove(owner, [stored[1].id])
    assert await accept(operator, owner) == Loss(counted=2, found=1)
    assert await accept(operator, owner) == Loss(counted=1, found=1)
    acts = [a.act for a in await audit.page(owner.tenant, after="", limit=9)]
    assert [(a.action, a.target, dict(a.detail)) for a in acts] == [
        ("user.accept-loss", owner.user, {"counted": 2, "found": 1})
    ]
    assert await quotas.held(owner.tenant) == holdings(stored[:1])
    memory = WholeMemory(beneath, quotas)
    async with commit(owner, -holdings(stored[:1])):
        await memory.delete(owner, stored[0].id)
    assert not (await memory.library(owner)).concepts
