"""Another embedder for everybody, on real parts: nothing is lost, nobody waits, and there is a way back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.shelves import SqlShelves
from rap_serve.adapters.catalogue.spaces import SqlSpaces
from rap_serve.adapters.catalogue.tenants import SqlTenants
from rap_serve.adapters.milvus_shelves import ShelvedMemory
from rap_serve.domain.concept import EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import Conflict, InvalidInput
from rap_serve.domain.tenancy import Tenant
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels
from tests.contract.in_process import MODELS, InProcess, Turned
from tests.contract.test_jobs_of_owners import CALLER, SPACE_VERSION, Place, drafted, place_of, shelf_of

pytestmark = pytest.mark.parametrize("milvus_uri", ["lite"], indirect=True)  # what follows is not the memory's part


def both(models: InProcess, database: Database) -> EmbeddingModels:
    """The shipped embedder and a turned one, as a gateway sees them."""
    calibration, turned = load_calibration(str(MODELS / "embedder")), Turned(models)
    old = EmbeddingModel(EmbeddingSpace(SPACE_VERSION, models.embedder.dim), models, calibration)
    new = EmbeddingModel(EmbeddingSpace("turned", turned.dim), turned, calibration)
    return EmbeddingModels([old, new], SqlSpaces(database))


@pytest.fixture
async def places(tmp_path: Path, milvus_uri: str, models: InProcess) -> AsyncIterator[tuple[Place, Place]]:
    """A gateway that knows one embedder alone, and another that knows a second one, over the same stores."""
    tenant = f"t-{new_ulid()}"
    database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    await SqlTenants(database).add(Tenant(id=tenant), None)
    shelved = ShelvedMemory(SqlShelves(database), lambda shelf: shelf_of(milvus_uri, models, shelf))
    before = place_of(tenant, tmp_path, database, shelved, models)
    yield before, place_of(tenant, tmp_path, database, shelved, models, embedding=both(models, database))
    await shelved.close()
    await database.close()


async def seen(place: Place, owner: Owner, version: str) -> dict[str, int]:
    """How many embeddings of that space each concept has."""
    space = EmbeddingSpace(version, 0)
    library = await place.memory.library(owner, space=replace(space, dim=place.embedding.named(version).space.dim))
    return {c.name: len(c.embeddings(version)) for c in library.concepts}


async def test_everything_is_embedded_anew_and_then_the_new_one_answers(places: tuple[Place, Place]) -> None:
    """What was there and what is written meanwhile; versions, histories and texts stay as they are."""
    before, place = places
    users = [Owner(place.tenant, f"u{n}") for n in range(3)]
    for number, user in enumerate(users):
        for extra in range(number + 1):
            await before.remember(user, await drafted(f"bo-{extra}", extra))
    texts = {u: [(c.id, c.version, c.name, c.info) for c in (await place.recall(u)).concepts] for u in users}
    job = await place.reembed(CALLER, "turned", grace=0.5)
    working = asyncio.create_task(place.run.one())
    number = 0
    while not working.done():
        number += 1
        await place.remember(users[number % 3], await drafted(f"more-{number}", number % 5))
        library = await place.recall(users[number % 3])
        assert f"more-{number}" in [c.name for c in library.concepts] and len(library.matrix) == len(library.concepts)
    await place.embedding.refresh()
    assert place.embedding.current.space.version == "turned"
    result = (await place.jobs.get("", job.id)).result
    assert result["switched"] and result["embedded"] >= 6 and result["unreadable"] == 0
    for user in users:
        library = await place.recall(user)
        assert library.space.version == "turned" and len(library.matrix) == len(library.concepts)
        assert [(c.id, c.version, c.name, c.info) for c in library.concepts][: len(texts[user])] == texts[user]
        assert all((await seen(place, user, SPACE_VERSION)).values())
    await asyncio.sleep(0.5)
    assert (await place.ended(job)).state == "done"
    for user in users:
        assert not any((await seen(place, user, SPACE_VERSION)).values())
        assert all((await seen(place, user, "turned")).values())


async def test_the_way_back_is_the_same_command(places: tuple[Place, Place]) -> None:
    """Nothing is embedded again, as every write went to both; and the first change then takes nothing away."""
    before, place = places
    await before.remember(place.ann, await drafted("bo"))
    there = await place.reembed(CALLER, "turned", grace=2)
    await place.run.one()
    await place.embedding.refresh()
    await place.remember(place.ann, await drafted("rex", 2))
    back = await place.reembed(CALLER, SPACE_VERSION, grace=0)
    await place.ended(back)
    await place.embedding.refresh()
    assert place.embedding.current.space.version == SPACE_VERSION
    assert (await place.jobs.get("", back.id)).result["embedded"] == 0
    assert await seen(place, place.ann, SPACE_VERSION) == {"bo": 1, "rex": 1}
    await asyncio.sleep(2)
    ended = await place.ended(there)
    assert ended.state == "done" and ended.result["reversed"]
    assert await seen(place, place.ann, SPACE_VERSION) == {"bo": 1, "rex": 1}


async def test_it_goes_on_where_a_gateway_died(places: tuple[Place, Place], tmp_path: Path, models: InProcess) -> None:
    """And what cannot be embedded, as its picture is gone, is counted and stays as it is."""
    before, place = places
    for number in range(4):
        user = Owner(place.tenant, f"u{number}")
        kept = await before.remember(user, await drafted("bo", number))
        if number == 3:
            await place.blobs.delete(user, [kept.concept.avatars[0].image_key])
    dying = place_of(
        place.tenant, tmp_path, place.database, place.shelved, models, embedding=place.embedding, hold_seconds=0.3
    )
    job = await dying.reembed(CALLER, "turned", grace=0, pause=0.2)
    working = asyncio.create_task(dying.run.one())
    while (await place.jobs.get("", job.id)).done < 1:  # noqa: ASYNC110 - it is in the catalogue only
        await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    with pytest.raises(Conflict):
        await place.reembed(CALLER, SPACE_VERSION)
    await asyncio.sleep(0.5)
    ended = await place.ended(job)
    assert (ended.state, ended.result["embedded"], ended.result["unreadable"]) == ("done", 3, 1)
    assert await seen(place, Owner(place.tenant, "u0"), "turned") == {"bo": 1}
    assert await seen(place, Owner(place.tenant, "u3"), SPACE_VERSION) == {"bo": 1}


async def test_an_embedder_that_does_not_run_is_refused(places: tuple[Place, Place]) -> None:
    """By its name, with those that do."""
    with pytest.raises(InvalidInput, match="tiny-1"):
        await places[0].reembed(CALLER, "turned")
