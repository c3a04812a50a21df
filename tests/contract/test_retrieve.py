"""What retrieval lets into a prompt, with the shipped detector and embedder and a real memory."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from loadtest import drawn
from rap_serve.adapters.blob_store import FsspecBlobStore
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.catalogue.quotas import SqlQuotas
from rap_serve.adapters.catalogue.shares import SqlShares
from rap_serve.adapters.local_cache import LocalCache
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.pictures import PictureLoader
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import ConceptNotFound
from rap_serve.domain.match import AuthorisationPolicy
from rap_serve.domain.ports import Picture
from rap_serve.services.commit import Commit
from rap_serve.services.edit import ConceptPatch, Edit
from rap_serve.services.enrol import AvatarDraft, Enrol
from rap_serve.services.household import RecallShared
from rap_serve.services.look import Look
from rap_serve.services.recall import Recall
from rap_serve.services.retrieve import Query, Retrieve
from rap_serve.services.share import ShareConcepts
from rap_serve.settings import LimitSettings
from tests.contract.conftest import SPACE, concept, vector_of
from tests.contract.in_process import InProcess, embedding_models

pytestmark = pytest.mark.parametrize("milvus_uri", ["lite"], indirect=True)  # what follows is not the memory's part

BARE = AuthorisationPolicy(required=False)
MakeRetrieve: TypeAlias = Callable[[AuthorisationPolicy], Retrieve]


@pytest.fixture
async def real_memory(milvus_uri: str, models: InProcess) -> AsyncIterator[MilvusMemory]:
    """A memory as wide as the embedder's vectors."""
    memory = MilvusMemory(uri=milvus_uri, space=EmbeddingSpace(SPACE.version, models.embedder.dim))
    yield memory
    await memory.close()


@pytest.fixture
def made(models: InProcess, real_memory: MilvusMemory, database: Database) -> MakeRetrieve:
    """Retrieval under a policy, each by a gateway of its own."""

    def make(policy: AuthorisationPolicy) -> Retrieve:
        cache, embedding = LocalCache(max_bytes=1_000_000), embedding_models(models, SPACE.version)
        recall = Recall(real_memory, cache, embedding)
        return Retrieve(
            recall=RecallShared(recall=recall, cache=cache, shares=SqlShares(database)),
            look=Look(detector=models, detector_version="tiny", cache=cache, fallback=("object",)),
            cache=cache,
            models=embedding,
            policy=policy,
            observe=lambda _: None,
        )

    return make


async def picture(seed: int, category: str) -> Picture:
    """A thing of its own, drawn large."""
    image = drawn.jpeg(drawn.scene([drawn.thing(seed, category)], seed).image)
    return await PictureLoader(LimitSettings()).load(image)


@pytest.fixture
async def remembered(models: InProcess, real_memory: MilvusMemory, owner: Owner) -> list[Concept]:
    """A mug and a house, each as the detector sees it first."""
    concepts = []
    for seed, category in ((1, "mug"), (2, "house")):
        shown = await picture(seed, category)
        box = (await models.detect(shown.pixels, (category, "object")))[0].box_xyxy
        avatar = Avatar(
            id=new_ulid(),
            image_key="k",
            size_bytes=len(shown.data),
            picture_size=shown.original_size,
            box_xyxy=box,
            embeddings={SPACE.version: (await models.embed(shown.pixels, [box]))[0]},
        )
        stored = replace(concept(owner, f"the-{category}", category=category), avatars=(avatar,))
        await real_memory.put(stored, expected_version=None)
        concepts.append(stored)
    return concepts


async def test_a_picture_names_what_it_shows_and_nothing_else(
    made: MakeRetrieve, owner: Owner, remembered: list[Concept]
) -> None:
    """With a confidence, and where it is."""
    mug, _ = remembered
    found = await made(AuthorisationPolicy())(owner, Query(picture=await picture(1, "mug")))
    assert [(e.concept_id, e.source) for e in found.evidence] == [(mug.id, "region")]
    assert found.evidence[0].box_xyxy is not None and 0.5 < (found.evidence[0].confidence or 0) <= 1


async def test_a_picture_of_a_stranger_names_nobody_unless_authorisation_is_off(
    made: MakeRetrieve, owner: Owner, remembered: list[Concept]
) -> None:
    """A bare retriever lets in what resembles it most."""
    query = Query(picture=await picture(9, "boot"))
    assert (await made(AuthorisationPolicy())(owner, query)).evidence == ()
    bare = (await made(BARE)(owner, query)).evidence
    assert bare and {e.concept_id for e in bare} <= {c.id for c in remembered}


async def test_listed_concepts_are_the_only_ones_considered(
    made: MakeRetrieve, owner: Owner, remembered: list[Concept]
) -> None:
    """They need a region like any other; without authorisation they enter as they are."""
    _, house = remembered
    query = Query(picture=await picture(1, "mug"), concepts=(house.id,))
    found = await made(AuthorisationPolicy())(owner, query)
    assert found.evidence == ()
    assert {c.concept_id for r in found.regions for c in r.candidates} == {house.id}
    bare = (await made(BARE)(owner, query)).evidence
    assert [(e.concept_id, e.source, e.box_xyxy) for e in bare] == [(house.id, "request", None)]


async def test_what_shows_another_concept_does_not_show_a_listed_one(
    made: MakeRetrieve, owner: Owner, remembered: list[Concept], real_memory: MilvusMemory, models: InProcess
) -> None:
    """Listed alone, a look-alike of what is there is compared with what is there all the same."""
    mug, _ = remembered
    shown, similar = await picture(1, "mug"), await picture(1, "mug")
    box = (await models.detect(similar.pixels, ("mug", "object")))[0].box_xyxy
    left, top, right, bottom = box
    narrower = (left + 0.15 * (right - left), top, right, bottom)
    (vector,) = await models.embed(similar.pixels, [narrower])
    avatar = replace(mug.avatars[0], id=new_ulid(), embeddings={SPACE.version: vector})
    twin = replace(concept(owner, "the-twin", category="mug"), avatars=(avatar,))
    await real_memory.put(twin, expected_version=None)
    retrieve = made(AuthorisationPolicy())
    for listed, named in (((mug.id, twin.id), ["the-mug"]), ((mug.id,), ["the-mug"]), ((twin.id,), [])):
        found = await retrieve(owner, Query(picture=shown, concepts=listed))
        assert [e.name for e in found.evidence] == named


async def test_a_listed_concept_that_is_not_there_is_an_error(made: MakeRetrieve, owner: Owner) -> None:
    """As anywhere else."""
    with pytest.raises(ConceptNotFound):
        await made(AuthorisationPolicy())(owner, Query(text="Who is this?", concepts=("nobody",)))


async def test_a_name_asked_for_needs_a_region_that_shows_it(
    made: MakeRetrieve, owner: Owner, remembered: list[Concept]
) -> None:
    """The one that is there is supported, the other is not."""
    retrieve, shown = made(AuthorisationPolicy()), await picture(1, "mug")
    for text, names in (("Is <the-mug> here?", ["the-mug"]), ("Is <the-house> here?", ["the-mug"])):
        found = await retrieve(owner, Query(picture=shown, text=text))
        assert [e.name for e in found.evidence] == names


async def test_a_concept_of_an_older_embedder_is_in_no_picture_until_an_edit_brings_one(
    made: MakeRetrieve,
    owner: Owner,
    owners: SqlOwners,
    quotas: SqlQuotas,
    real_memory: MilvusMemory,
    milvus_uri: str,
    models: InProcess,
    tmp_path: Path,
) -> None:
    """Neither a candidate nor evidence, though it is still spoken of; the edit embeds all of its pictures."""
    blobs, loader = FsspecBlobStore(f"file://{tmp_path}"), PictureLoader(LimitSettings())
    older_models, now = embedding_models(models, "retrieve-0"), embedding_models(models, SPACE.version)
    seeing = {"detector": models, "blobs": blobs, "pictures": loader, "fallback": ("object",)}
    avatars = await Enrol(models=older_models, **seeing)(owner, [AvatarDraft(await picture(1, "mug"))], "mug")
    older = MilvusMemory(uri=milvus_uri, space=EmbeddingSpace("retrieve-0", models.embedder.dim))
    mug = replace(concept(owner, "the-mug", category="mug"), avatars=avatars)
    await older.put(mug, expected_version=None)
    await older.close()
    for policy in (AuthorisationPolicy(), BARE):
        found = await made(policy)(owner, Query(picture=await picture(1, "mug")))
        assert found.evidence == () and not any(r.candidates for r in found.regions)
    assert [e.concept_id for e in (await made(BARE)(owner, Query(text="<the-mug>"))).evidence] == [mug.id]
    cache = LocalCache(max_bytes=1_000_000)
    commit = Commit(cache=cache, quotas=quotas, owners=owners)
    edit = Edit(
        memory=real_memory, commit=commit, recall=Recall(real_memory, cache, now), enrol=Enrol(models=now, **seeing)
    )
    patch = ConceptPatch(added_avatars=(AvatarDraft(await picture(2, "mug")),))
    edited = await edit(owner, mug.id, patch)
    assert len(edited.embeddings(SPACE.version)) == 2
    np.testing.assert_allclose(edited.embeddings(SPACE.version)[0], vector_of(avatars[0]), atol=0.05)
    assert all([await blobs.get(owner, a.image_key) for a in edited.avatars])
    found = await made(AuthorisationPolicy())(owner, Query(picture=await picture(1, "mug")))
    assert [e.concept_id for e in found.evidence] == [mug.id]


async def test_what_is_shared_is_found_in_pictures_and_texts_with_who_shares_it(
    made: MakeRetrieve,
    models: InProcess,
    owner: Owner,
    owners: SqlOwners,
    quotas: SqlQuotas,
    database: Database,
    real_memory: MilvusMemory,
    remembered: list[Concept],
) -> None:
    """Among the candidates, in the evidence, and by its id; for the giver nothing is anybody else's."""
    mug, _ = remembered
    taker, cache = Owner(owner.tenant, f"{owner.user}-b"), LocalCache(max_bytes=1_000_000)
    shares = SqlShares(database)
    recall = Recall(real_memory, cache, embedding_models(models, SPACE.version))
    share = ShareConcepts(shares=shares, owners=owners, recall=recall, cache=cache)
    await share.accept(taker, (await share.offer(owner, taker.user, [mug.id])).id)
    retrieve = made(AuthorisationPolicy())
    for query in (Query(picture=await picture(1, "mug")), Query(text="Is <the-mug> or <the-house> red?")):
        found = await retrieve(taker, query)
        assert [(e.concept_id, e.shared_by) for e in found.evidence] == [(mug.id, owner.user)]
        assert {c.shared_by for r in found.regions for c in r.candidates} <= {owner.user}
        assert {e.shared_by for e in (await retrieve(owner, query)).evidence} == {None}
    listed = await made(BARE)(taker, Query(text="What is it?", concepts=(mug.id,)))
    assert [(e.source, e.shared_by) for e in listed.evidence] == [("request", owner.user)]
