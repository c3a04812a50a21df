"""Archives in and out, and erasure, as jobs: on real memory, catalogue, files and models."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest import drawn
from rap_serve.adapters.blob_store import FsspecBlobStore
from rap_serve.adapters.catalogue.audit import SqlAudit
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.jobs import SqlJobs
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.replies import SqlReplies
from rap_serve.adapters.catalogue.shares import SqlShares
from rap_serve.adapters.catalogue.shelves import SqlShelves
from rap_serve.adapters.catalogue.spaces import SqlSpaces
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.catalogue.usage import SqlUsage
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_shelves import ShelvedMemory
from rap_serve.adapters.pictures import PictureLoader
from rap_serve.adapters.redis_cache import RedisCache
from rap_serve.adapters.sealed_blobs import SealedBlobStore
from rap_serve.adapters.sealed_memory import SealedMemory
from rap_serve.adapters.whole_memory import WholeMemory
from rap_serve.adapters.zip_packs import ZipPack, zipped
from rap_serve.cli.process import free_port
from rap_serve.domain.catalogue import Attempt, Reply
from rap_serve.domain.concept import EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import ConceptNotFound, Erased, InvalidInput, JobNotFound, NotFound, Unwritten
from rap_serve.domain.job import Job
from rap_serve.domain.tenancy import Act, Amounts, Caller, Consumption, Limits, Tenant, holdings
from rap_serve.services.commit import Commit
from rap_serve.services.edit import ConceptPatch, Edit
from rap_serve.services.embedding import EmbeddingModels
from rap_serve.services.enrol import AvatarDraft, Enrol
from rap_serve.services.erase import Erase, Purge
from rap_serve.services.household import RecallShared
from rap_serve.services.move import Move, MoveTenant
from rap_serve.services.recall import Recall
from rap_serve.services.reembed import Reembed, StartReembedding
from rap_serve.services.remember import ConceptDraft, Remember
from rap_serve.services.run_jobs import RunJobs
from rap_serve.services.share import ShareConcepts
from rap_serve.services.transfer import Export, Import, StartTransfers
from rap_serve.settings import LimitSettings
from tests.contract.conftest import concept, vector_of
from tests.contract.in_process import InProcess, embedding_models

SPACE_VERSION = "tiny-1"
CALLER = Caller("t", "key_1", frozenset({"read", "write"}))


async def described(*_: object) -> str:
    """What nobody wrote, the MLLM says; there is none here."""
    return ""


def opened(data: bytes) -> ZipPack:
    """An archive."""
    return ZipPack(data, picture_bytes=1_000_000)


@dataclass
class Place:
    """A whole service, but for its routes, on folders of its own."""

    tenant: str
    folder: Path
    database: Database
    owners: SqlOwners
    shelves: SqlShelves
    shelved: ShelvedMemory
    memory: SealedMemory
    blobs: SealedBlobStore
    cache: LocalCache | RedisCache
    quotas: SqlQuotas
    jobs: SqlJobs
    remember: Remember
    edit: Edit
    recall: Recall
    transfers: StartTransfers
    erase: Erase
    share: ShareConcepts
    recall_shared: RecallShared
    run: RunJobs
    embedding: EmbeddingModels
    reembed: StartReembedding

    @property
    def ann(self) -> Owner:
        """A user."""
        return Owner(self.tenant, "ann")

    async def ended(self, job: Job) -> Job:
        """The job, once all jobs are done."""
        while await self.run.one():
            continue
        return await self.jobs.get(job.tenant, job.id)

    async def names(self, owner: Owner) -> list[str]:
        """What an owner's concepts are called."""
        return sorted(c.name for c in (await self.recall(owner)).concepts)


@pytest.fixture
async def place(tmp_path: Path, milvus_uri: str, models: InProcess) -> AsyncIterator[Place]:
    """Everything real, and empty."""
    tenant = f"t-{new_ulid()}"
    database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    await SqlTenants(database).add(Tenant(id=tenant), None)
    shelved = ShelvedMemory(SqlShelves(database), lambda shelf: shelf_of(milvus_uri, models, shelf))
    yield place_of(tenant, tmp_path, database, shelved, models)
    await shelved.close()
    await database.close()


def space_of(models: InProcess) -> EmbeddingSpace:
    """That of the shipped embedder."""
    return EmbeddingSpace(SPACE_VERSION, models.embedder.dim)


def shelf_of(uri: str, models: InProcess, shelf: str) -> MilvusMemory:
    """The memory of a shelf."""
    prefix = f"jobs_{shelf}" if shelf else "jobs"
    return MilvusMemory(uri=uri, space=space_of(models), prefix=prefix, timeout_seconds=60)


def place_of(
    tenant: str,
    folder: Path,
    database: Database,
    shelved: ShelvedMemory,
    models: InProcess,
    *,
    hold_seconds: float = 10,
    embedding: EmbeddingModels | None = None,
    redis: str = "",
) -> Place:
    """The use cases over these. ``redis``: where the cache is; without it, it is this process's own."""
    embedding = embedding or embedding_models(models, SPACE_VERSION)
    owners, quotas, jobs = (
        SqlOwners(database, master_key=b"m" * 32),
        SqlQuotas(database),
        SqlJobs(database, hold_seconds=hold_seconds),
    )
    memory = SealedMemory(WholeMemory(shelved, quotas), owners, space=space_of(models))
    shared = RedisCache(redis, seals=owners, embedder_version=SPACE_VERSION) if redis else None
    cache = shared or LocalCache(max_bytes=10_000_000)
    blobs, pictures = SealedBlobStore(FsspecBlobStore(str(folder / "blobs")), owners), PictureLoader(LimitSettings())
    recall, commit = Recall(memory, cache, embedding), Commit(cache=cache, quotas=quotas, owners=owners)
    enrol = Enrol(detector=models, models=embedding, blobs=blobs, pictures=pictures, fallback=("object",))
    remember = Remember(
        memory=memory,
        commit=commit,
        recall=recall,
        enrol=enrol,
        describe=described,  # type: ignore[arg-type]
        models=embedding,
        lookalike_confidence=0.9,
    )
    usage, replies = SqlUsage(database), SqlReplies(database, master_key=b"m" * 32)
    purge = Purge(
        memory=memory,
        shelves=shelved,
        blobs=blobs,
        cache=cache,
        quotas=quotas,
        replies=replies,
        usage=usage,
        owners=owners,
        shares=SqlShares(database),
        jobs=jobs,
    )
    take_in = Import(blobs=blobs, pictures=pictures, recall=recall, remember=remember, open_pack=opened)
    give_out = Export(blobs=blobs, pictures=pictures, recall=recall, zipped=zipped)
    shelves, move = SqlShelves(database), Move(memory=shelved, concepts=memory, owners=owners, cache=cache)
    work = {
        "import": take_in,
        "export": give_out,
        "erase-user": purge.user,
        "erase-tenant": purge.tenant,
        "move-tenant": move,
        "re-embed": Reembed(
            memory=memory,
            stored=shelved,
            owners=owners,
            cache=cache,
            enrol=enrol,
            models=embedding,
            spaces=SqlSpaces(database),
        ),
    }
    return Place(
        tenant=tenant,
        folder=folder,
        database=database,
        owners=owners,
        shelves=shelves,
        shelved=shelved,
        memory=memory,
        blobs=blobs,
        cache=cache,
        quotas=quotas,
        jobs=jobs,
        remember=remember,
        edit=Edit(memory=memory, commit=commit, recall=recall, enrol=enrol),
        recall=recall,
        transfers=StartTransfers(jobs=jobs, blobs=blobs, open_pack=opened),
        erase=Erase(cache=cache, owners=owners, shares=SqlShares(database), tenants=SqlTenants(database), jobs=jobs),
        share=ShareConcepts(shares=SqlShares(database), owners=owners, recall=recall, cache=cache),
        recall_shared=RecallShared(recall=recall, cache=cache, shares=SqlShares(database)),
        run=RunJobs(jobs, work),  # type: ignore[arg-type]
        embedding=embedding,
        reembed=StartReembedding(models=embedding, jobs=jobs, audit=SqlAudit(database)),
    )


def picture(number: int) -> bytes:
    """A thing of its own on a picture."""
    return drawn.jpeg(drawn.scene([drawn.thing(number, "mug")], number).image)


def archive(count: int, **more: str) -> bytes:
    """``count`` good lines, then these."""
    lines = [
        json.dumps(
            {
                "name": f"mug-{n}",
                "category": "mug",
                "info": f"Mug {n}.",
                "avatars": [{"picture": f"p{n % 5}.jpg", "box_xyxy": [5, 5, 90, 90]}],
            }
        )
        for n in range(count)
    ]
    pictures = [(f"p{n}.jpg", picture(n)) for n in range(5)]
    return zipped(['{"format": "rap-concepts", "version": 1}', *lines, *more.values()], pictures)


async def drafted(name: str, number: int = 1) -> ConceptDraft:
    """Something to remember."""
    shown = await PictureLoader(LimitSettings()).load(picture(number))
    return ConceptDraft(
        name=name, info=f"The marker-of-{name}.", category="mug", avatars=(AvatarDraft(shown, (5.0, 5.0, 90.0, 90.0)),)
    )


async def test_an_archive_is_taken_in(place: Place) -> None:
    """All good lines, in groups; the bad ones are named with their numbers; the archive itself is not kept."""
    bad = {
        "broken": "nonsense",
        "no_picture": '{"name": "x", "avatars": [{"picture": "none.jpg"}]}',
        "no_name": '{"name": "", "avatars": [{"picture": "p0.jpg"}]}',
        "bad_box": '{"name": "y", "avatars": [{"picture": "p0.jpg", "box_xyxy": [9000, 9000, 9001, 9001]}]}',
        "twice": '{"name": "MUG-3", "category": "mug", "avatars": [{"picture": "p0.jpg"}]}',
    }
    job = await place.ended(await place.transfers.take_in(place.ann, archive(70, **bad)))
    assert (job.state, job.done, job.total) == ("done", 75, 75)
    assert {k: job.result[k] for k in ("added", "unchanged", "failed")} == {"added": 70, "unchanged": 1, "failed": 4}
    assert [(p["line"], p["code"]) for p in job.result["problems"]] == [
        (72, "invalid_line"),
        (73, "not_found"),
        (74, "invalid_name"),
        (75, "invalid_request"),
    ]
    library = await place.recall(place.ann)
    assert len(library.concepts) == 70
    assert await place.quotas.held(place.tenant) == holdings(library.concepts)
    assert len(await place.blobs.keys(place.ann)) == 70


async def test_the_same_archive_twice_changes_nothing(place: Place) -> None:
    """Nor does one that was half done."""
    await place.ended(await place.transfers.take_in(place.ann, archive(10)))
    before = await place.recall(place.ann)
    job = await place.ended(await place.transfers.take_in(place.ann, archive(12)))
    assert (job.result["added"], job.result["unchanged"]) == (2, 10)
    after = await place.recall(place.ann)
    assert {c.id for c in before.concepts} < {c.id for c in after.concepts} and len(after.concepts) == 12
    assert len(await place.blobs.keys(place.ann)) == 12


async def test_an_import_whose_gateway_died_is_finished_by_another(
    place: Place, models: InProcess, tmp_path: Path
) -> None:
    """Without a duplicate, and every line accounted for."""
    dying = place_of(place.tenant, tmp_path, place.database, place.shelved, models, hold_seconds=0.5)
    job = await dying.transfers.take_in(place.ann, archive(150))
    working = asyncio.create_task(dying.run.one())
    while not await place.names(place.ann):
        await asyncio.sleep(0.02)
        place.cache = LocalCache(max_bytes=1)
        place.recall = Recall(place.memory, place.cache, embedding_models(models, SPACE_VERSION))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await asyncio.sleep(0.8)
    fresh = place_of(place.tenant, tmp_path, place.database, place.shelved, models)
    ended = await fresh.ended(job)
    assert ended.state == "done" and ended.result["added"] + ended.result["unchanged"] == 150
    assert await fresh.names(place.ann) == sorted(f"mug-{n}" for n in range(150))


async def test_an_import_stops_when_it_is_cancelled(place: Place) -> None:
    """What was taken in stays."""
    job = await place.transfers.take_in(place.ann, archive(200))
    working = asyncio.create_task(place.run.one())
    for _ in range(1_000):
        if (await place.jobs.get(place.tenant, job.id)).done >= 64:
            break
        await asyncio.sleep(0.02)
    await place.jobs.cancel(place.tenant, job.id)
    await working
    ended = await place.jobs.get(place.tenant, job.id)
    assert ended.state == "cancelled" and 64 <= len(await place.names(place.ann)) < 200


async def test_an_import_takes_what_the_quota_allows(place: Place) -> None:
    """To the unit; the rest is named."""
    tenants = SqlTenants(place.database)
    await tenants.change(place.tenant, limits=Limits(concepts=37), state=None, act=_act(place.tenant))
    job = await place.ended(await place.transfers.take_in(place.ann, archive(50)))
    assert (job.result["added"], job.result["failed"]) == (37, 13)
    assert {p["code"] for p in job.result["problems"]} == {"quota_exceeded"}
    assert len(await place.blobs.keys(place.ann)) == 37


async def test_what_is_no_archive_never_becomes_a_job(place: Place) -> None:
    """And leaves nothing behind."""
    for data in (b"", b"nonsense", zip_of({"x.txt": "hello"})):
        with pytest.raises(InvalidInput):
            await place.transfers.take_in(place.ann, data)
    assert await place.jobs.page(place.tenant, after="", limit=10) == []
    assert await place.blobs.keys(place.ann) == []


async def test_an_export_taken_in_elsewhere_is_the_same_library(place: Place) -> None:
    """Names, texts, boxes, and embeddings nearly to the bit; another tenant's, whose own library was empty."""
    await place.ended(await place.transfers.take_in(place.ann, archive(20)))
    exported = await place.ended(await place.transfers.give_out(place.ann))
    data = await place.transfers.archive(exported)
    other = Owner(place.tenant, "bea")
    await place.ended(await place.transfers.take_in(other, data))
    mine, theirs = await place.recall(place.ann), await place.recall(other)
    told = [sorted((c.name, c.category, c.info, len(c.avatars)) for c in lib.concepts) for lib in (mine, theirs)]
    assert told[0] == told[1]
    by_name = {c.name: c for c in theirs.concepts}
    for own in mine.concepts:
        twin = by_name[own.name]
        assert np.dot(vector_of(own.avatars[0]), vector_of(twin.avatars[0])) > 0.999999
        assert twin.avatars[0].box_xyxy == pytest.approx(own.avatars[0].box_xyxy, abs=0.5)
    again = await place.ended(await place.transfers.give_out(other))
    assert listing(await place.transfers.archive(again)) == listing(data)
    with pytest.raises(NotFound):
        await place.transfers.archive(await place.jobs.get(place.tenant, (await place.transfers.give_out(other)).id))


async def test_an_erased_user_is_unreadable_at_once_and_purged_by_the_job(place: Place) -> None:
    """The receipt says what was found in each store; who comes back begins anew, and keeps what is new."""
    await place.remember(place.ann, await drafted("bo"))
    kept = await place.remember(Owner(place.tenant, "bea"), await drafted("bo"))
    await SqlUsage(place.database).add([Consumption(tenant=place.tenant, user="ann", day="2026-01-01", kind="chat")])
    replies = SqlReplies(place.database, master_key=b"m" * 32)
    exported = await place.ended(await place.transfers.give_out(place.ann))
    attempt = await replies.begin(place.tenant, "k", user="ann", fingerprint="f")
    assert isinstance(attempt, Attempt)
    await replies.finish(attempt, Reply(201, {}, b"bo"))
    job = await place.erase.user(CALLER, place.ann)
    assert await place.names(place.ann) == []
    await place.remember(place.ann, await drafted("new", 2))
    ended = await place.ended(job)
    assert ended.result["state"] == "purged"
    receipt: dict[str, Any] = ended.result["receipt"]
    assert receipt["memory"] == {"concepts": 1, "avatars": 1}
    assert receipt["blobs"] == {"pictures": 2}  # and the archive of the export
    with pytest.raises(JobNotFound):
        await place.jobs.get(place.tenant, exported.id)
    assert receipt["idempotency_replies"] == {"replies": 1}
    assert receipt["jobs"] == {"imports_and_exports": 1}
    assert receipt["usage"] == {"rows_made_anonymous": 1}
    assert await place.names(place.ann) == ["new"] and len(await place.blobs.keys(place.ann)) == 1
    assert await place.names(Owner(place.tenant, "bea")) == [kept.concept.name]
    assert await place.quotas.held(place.tenant) == holdings([*(await place.recall(place.ann)).concepts, kept.concept])


async def test_what_an_erased_user_shared_ends_with_it(place: Place) -> None:
    """For the taker's next request, and for what the user stores when it comes back; the receipt counts the shares."""
    bea, cid = Owner(place.tenant, "bea"), Owner(place.tenant, "cid")

    async def known_to(owner: Owner) -> list[str]:
        return sorted(c.name for c in (await place.recall_shared(owner)).concepts)

    await place.remember(place.ann, await drafted("bo"))
    await place.remember(bea, await drafted("rex", 2))
    for giver, taker in ((place.ann, bea), (place.ann, cid), (bea, place.ann), (bea, cid)):
        offered = await place.share.offer(giver, taker.user, None)
        if (giver, taker) != (place.ann, cid):
            await place.share.accept(taker, offered.id)
    assert await known_to(bea) == ["bo", "rex"] == await known_to(place.ann)
    job = await place.erase.user(CALLER, place.ann)
    assert await known_to(bea) == ["rex"] == await known_to(cid) and await known_to(place.ann) == []
    await place.remember(place.ann, await drafted("new", 3))
    assert await known_to(bea) == ["rex"] and await known_to(place.ann) == ["new"]
    assert [s.giver for s, _ in await place.share.page(bea, after="", limit=10)] == [bea]
    assert await place.share.page(place.ann, after="", limit=10) == []
    assert (await place.ended(job)).result["receipt"]["shares"] == {"given_or_taken": 3}
    assert await known_to(cid) == ["rex"]


async def test_an_erased_tenants_shares_are_gone(place: Place) -> None:
    """Those too of users who never stored anything."""
    await place.share.accept(Owner(place.tenant, "bea"), (await place.share.offer(place.ann, "bea", None)).id)
    ended = await place.ended(await place.erase.tenant(CALLER, place.tenant))
    assert ended.result["receipt"]["shares"] == {"given_or_taken": 1}


async def test_a_request_from_before_an_erasure_cannot_undo_it(place: Place) -> None:
    """However late it comes to its write."""
    await place.remember(place.ann, await drafted("bo"))
    writers = [asyncio.create_task(place.remember(place.ann, await drafted(f"late-{n}", n))) for n in range(8)]
    await asyncio.sleep(0.05)
    job = await place.erase.user(CALLER, place.ann)
    outcomes = await asyncio.gather(*writers, return_exceptions=True)
    assert await place.names(place.ann) == []
    assert all(isinstance(o, Erased | ConceptNotFound) or hasattr(o, "concept") for o in outcomes)
    await place.ended(job)
    assert await place.names(place.ann) == [] and await place.blobs.keys(place.ann) == []
    assert await place.quotas.held(place.tenant) == Amounts()


async def test_an_erased_tenant_is_purged_user_by_user(place: Place) -> None:
    """None of it is left, and no key opens it."""
    for user in ("ann", "bea", "cid"):
        await place.remember(Owner(place.tenant, user), await drafted("bo"))
    ended = await place.ended(await place.erase.tenant(CALLER, place.tenant))
    assert ended.result["users"] == 3 and ended.result["receipt"]["memory"] == {"concepts": 3, "avatars": 3}
    assert (await SqlTenants(place.database).get(place.tenant)).state == "erased"
    for user in ("ann", "bea", "cid"):
        assert (await place.shelved.library(Owner(place.tenant, user))).concepts == ()


@pytest.mark.slow
async def test_a_tenant_moves_under_its_reads_and_writes(place: Place) -> None:
    """Nothing is stale, nothing lost, histories and all; what is left behind is cleared, and new users are there."""
    users = [Owner(place.tenant, f"u{n}") for n in range(4)]
    for user in users:
        await place.remember(user, await drafted("bo"))
    before = {u.user: (await place.shelved.library(u)).concepts for u in users}
    move = MoveTenant(shelves=place.shelves, tenants=SqlTenants(place.database), jobs=place.jobs)
    job = await move(CALLER, place.tenant, "two", grace=0.5)
    moving = asyncio.create_task(place.run.one())
    number = 0
    while not moving.done():
        number += 1
        await place.remember(users[number % 4], await drafted(f"more-{number}", number % 5))
        assert f"more-{number}" in await place.names(users[number % 4])
        assert "bo" in await place.names(users[(number + 1) % 4])
    await asyncio.sleep(0.5)
    ended = await place.ended(job)
    assert ended.state == "done", ended.result
    assert ended.result["owners"] == 4 and ended.result["concepts"] >= 4
    for user in users:
        assert await place.shelves.of(user) == "two" and await place.shelves.left_on(user) is None
        assert {c.id for c in before[user.user]} <= {c.id for c in (await place.memory.library(user)).concepts}
    home = place.shelved._memory("")
    assert [(await home.library(u)).concepts for u in users] == [()] * 4
    new = Owner(place.tenant, "new")
    await place.remember(new, await drafted("bo"))
    assert await place.shelves.of(new) == "two"


@pytest.mark.slow
async def test_a_move_can_be_taken_back(place: Place) -> None:
    """With what was written meanwhile; an erasure takes what was left behind as well."""
    await place.remember(place.ann, await drafted("bo"))
    await place.shelved.move(place.ann, "two")
    await place.remember(place.ann, await drafted("rex", 2))
    moved = await place.shelved.move(place.ann, "")
    assert moved.concepts == 2 and await place.shelves.left_on(place.ann) == "two"
    assert await place.names(place.ann) == ["bo", "rex"]
    await place.ended(await place.erase.user(CALLER, place.ann))
    for shelf in ("", "two"):
        assert (await place.shelved._memory(shelf).library(place.ann)).concepts == ()


async def test_what_was_told_is_nowhere_on_a_disk(place: Place) -> None:
    """Names, texts and pictures, before any erasure: memory, pictures and catalogue hold them closed."""
    await place.remember(place.ann, await drafted("xyzzy"))
    marks = (b"xyzzy", b"marker-of", picture(1)[200:260])
    for file in (path for path in place.folder.rglob("*") if path.is_file()):
        assert not any(mark in file.read_bytes() for mark in marks), file
    skeleton = (await place.shelved.library(place.ann)).concepts[0]
    assert "xyzzy" not in repr(skeleton) and "marker" not in repr(skeleton)


def zip_of(files: dict[str, str]) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


def listing(data: bytes) -> Sequence[Any]:
    """What an archive lists, pictures aside: they are encoded anew."""
    return sorted((line.name, line.category, line.info) for line in opened(data).lines() if hasattr(line, "category"))


def _act(tenant: str) -> Act:
    return Act(at=1, tenant=tenant, actor="k", action="test", target=tenant)


async def test_a_concept_is_not_made_again_once_others_have_renamed_it(place: Place) -> None:
    """Its gateway died before it answered, somebody gave it another name, and then it was sent again with its key."""
    attempt = Attempt(place.tenant, "k", new_ulid(), 1)
    first = (await place.remember(place.ann, await drafted("bo"), attempt)).concept
    renamed = replace(first, name="rex", version=2, write_id="")
    async with place.cache.writing(place.ann) as write:
        write.moment = await place.memory.put(renamed, expected_version=1, after=write.after)
    again = await place.remember(place.ann, await drafted("bo"), replace(attempt, number=2))
    assert (again.concept.id, again.concept.name) == (first.id, "rex")
    assert await place.names(place.ann) == ["rex"]


async def test_what_no_write_was_begun_for_leaves_no_picture(place: Place, models: InProcess, tmp_path: Path) -> None:
    """Other gateways' copies cannot be told while Redis is away, so all writes are refused, and leave all as it was."""
    alone = await place.remember(place.ann, await drafted("bo"))
    kept = await place.blobs.keys(place.ann)
    nowhere = f"redis://127.0.0.1:{free_port()}"
    cut_off = place_of(place.tenant, tmp_path, place.database, place.shelved, models, redis=nowhere)
    draft = await drafted("rex")
    with pytest.raises(Unwritten):
        await cut_off.remember(place.ann, draft)
    with pytest.raises(Unwritten):
        await cut_off.edit(place.ann, alone.concept.id, ConceptPatch(added_avatars=draft.avatars))
    batch = await cut_off.remember.made(place.ann, [draft, await drafted("max")], known={})
    assert len(await place.blobs.keys(place.ann)) == len(kept) + 2
    with pytest.raises(Unwritten):
        await cut_off.remember.stored(batch, known={})
    assert await place.blobs.keys(place.ann) == kept
    assert await place.quotas.held(place.tenant) == holdings([alone.concept])
    await cut_off.cache.close()


async def test_an_edit_is_not_made_again_over_later_ones(place: Place) -> None:
    """Its gateway died before it answered, somebody else edited, and then it was sent again with its key."""
    owner, bo = place.ann, concept(place.ann, "bo")
    await place.memory.put(bo, expected_version=None)
    attempt = Attempt(place.tenant, "k", "w", 1)
    first = await place.edit(owner, bo.id, ConceptPatch(info="first"), attempt=attempt)
    await place.edit(owner, bo.id, ConceptPatch(info="second"))
    again = await place.edit(owner, bo.id, ConceptPatch(info="first"), attempt=replace(attempt, number=2))
    assert (again.version, again.info) == (first.version, "first") and len(again.avatars) == 1
    (kept,) = (await place.memory.library(owner)).concepts
    assert (kept.version, kept.info) == (3, "second")
