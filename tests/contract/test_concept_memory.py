"""What every concept memory promises, on Milvus Lite and on a Milvus server."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rap_serve.adapters import milvus as milvus_adapter
from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.adapters.milvus_tables import Job
from rap_serve.domain.concept import MAX_INFO_LENGTH, Concept, ConceptVersion, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import ConceptNotFound, NameTaken, Unavailable, VersionMismatch
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Moment
from tests.contract.conftest import DIM, SPACE, concept, free_port, unit_vector, vector_of


def next_version(current: Concept, **fields: object) -> Concept:
    """The edit that a service would make."""
    return replace(current, version=current.version + 1, **fields)  # type: ignore[arg-type]


def assert_same(found: Concept, stored: Concept) -> None:
    """Every field, embeddings bit by bit."""
    plain = [(c.id, c.owner, c.name, c.category, c.info, c.version, c.created_at) for c in (found, stored)]
    assert plain[0] == plain[1]
    assert dict(found.metadata) == dict(stored.metadata)
    assert (found.info_generated, found.updated_at) == (stored.info_generated, stored.updated_at)
    assert [(a.id, a.image_key, a.box_xyxy) for a in found.avatars] == [
        (a.id, a.image_key, a.box_xyxy) for a in stored.avatars
    ]
    for mine, theirs in zip(found.avatars, stored.avatars, strict=True):
        np.testing.assert_array_equal(vector_of(mine), vector_of(theirs))


async def test_an_owner_without_concepts_has_an_empty_library(memory: MilvusMemory, owner: Owner) -> None:
    """No concepts, no rows, the right width."""
    library = await memory.library(owner)
    assert library.concepts == ()
    assert library.matrix.shape == (0, DIM)
    assert await memory.nearest(owner, unit_vector()[None], k=3) == [[]]


async def test_what_was_stored_comes_back_unchanged(memory: MilvusMemory, owner: Owner) -> None:
    """All fields of a concept with several avatars."""
    stored = concept(owner, "Bo", avatars=3, metadata={"colour": "brown"}, info_generated=True)
    stored = replace(stored, avatars=(replace(stored.avatars[0], box_xyxy=None), *stored.avatars[1:]))
    await memory.put(stored, expected_version=None)
    assert_same((await memory.library(owner)).get(stored.id), stored)


@pytest.mark.parametrize(
    "text",
    [
        "\"quoted\" and \\backslashed\\ and 'single'",
        "line\nbreaks\r\n\ttabs\x00nul",
        "żółw 🐢 日本語 \u202e right to left",
        '") or scope != "',
        "a lone surrogate \ud800",
        "\x01" * MAX_INFO_LENGTH,
        "🐢" * MAX_INFO_LENGTH,
    ],
)
async def test_any_text_survives(memory: MilvusMemory, owner: Owner, text: str) -> None:
    """Stored text is data, whatever is in it."""
    stored = concept(owner, "Bo", info=text, metadata={"note": text[:500]})
    await memory.put(stored, expected_version=None)
    assert_same((await memory.library(owner)).get(stored.id), stored)


async def test_the_largest_concept_fits(memory: MilvusMemory, owner: Owner) -> None:
    """All limits at once, in the characters that take most room."""
    metadata = {f"{i:02}" + "🐢" * 62: "\x01" * 512 for i in range(32)}
    stored = concept(owner, "Bo", avatars=16, info="\x01" * MAX_INFO_LENGTH, metadata=metadata)
    await memory.put(stored, expected_version=None)
    assert_same((await memory.library(owner)).get(stored.id), stored)


async def test_owners_never_see_each_other(memory: MilvusMemory) -> None:
    """Two owners store the same picture under the same name; each finds, and may remove, only its own."""
    tenant = new_ulid()
    owners = [Owner(tenant, "a"), Owner(tenant, "a.b"), Owner(tenant, "A"), Owner(f"{tenant}.a", "a")]
    mine = [concept(o, "Bo") for o in owners]
    mine = [replace(c, avatars=mine[0].avatars) for c in mine]
    for stored in mine:
        await memory.put(stored, expected_version=None)
    for owner, stored in zip(owners, mine, strict=True):
        assert [c.id for c in (await memory.library(owner)).concepts] == [stored.id]
        (hits,) = await memory.nearest(owner, vector_of(stored.avatars[0])[None], k=10)
        assert [h.concept_id for h in hits] == [stored.id]
    with pytest.raises(ConceptNotFound):
        await memory.delete(owners[0], mine[1].id)
    with pytest.raises(ConceptNotFound):
        await memory.put(next_version(replace(mine[1], owner=owners[0])), expected_version=1)
    assert len((await memory.library(owners[1])).concepts) == 1


@pytest.mark.parametrize("taken", ["bo", "BO", "ｂｏ", "Bo"])
async def test_a_name_is_taken_whatever_its_case_and_width(memory: MilvusMemory, owner: Owner, taken: str) -> None:
    """Names are compared by NFKC and case folding."""
    await memory.put(concept(owner, "Bo"), expected_version=None)
    with pytest.raises(NameTaken):
        await memory.put(concept(owner, taken), expected_version=None)
    other = concept(owner, "Tim")
    await memory.put(other, expected_version=None)
    with pytest.raises(NameTaken):
        await memory.put(next_version(other, name=taken), expected_version=1)
    assert [c.name for c in (await memory.library(owner)).concepts] == ["Bo", "Tim"]


async def test_a_name_is_free_again_once_nothing_bears_it(memory: MilvusMemory, owner: Owner) -> None:
    """After a renaming, and after a deletion."""
    first = concept(owner, "Bo")
    await memory.put(first, expected_version=None)
    await memory.put(next_version(first, name="Rex"), expected_version=1)
    second = concept(owner, "bo")
    await memory.put(second, expected_version=None)
    await memory.delete(owner, second.id)
    await memory.put(concept(owner, "BO"), expected_version=None)
    assert sorted(c.name for c in (await memory.library(owner)).concepts) == ["BO", "Rex"]


async def test_a_concept_may_change_the_case_of_its_own_name(memory: MilvusMemory, owner: Owner) -> None:
    """Its own name is not taken by itself."""
    stored = concept(owner, "Bo")
    await memory.put(stored, expected_version=None)
    await memory.put(next_version(stored, name="BO"), expected_version=1)
    assert (await memory.library(owner)).get(stored.id).name == "BO"


async def test_a_write_that_saw_another_version_is_refused(memory: MilvusMemory, owner: Owner) -> None:
    """Neither edits nor deletions nor second creations overwrite what they did not see."""
    stored = concept(owner, "Bo")
    await memory.put(stored, expected_version=None)
    edited = next_version(stored, info="edited")
    await memory.put(edited, expected_version=1)
    with pytest.raises(VersionMismatch):
        await memory.put(next_version(stored, info="lost"), expected_version=1)
    with pytest.raises(VersionMismatch):
        await memory.put(stored, expected_version=None)
    with pytest.raises(VersionMismatch):
        await memory.delete(owner, stored.id, expected_version=1)
    assert_same((await memory.library(owner)).get(stored.id), edited)


async def test_deleting_gives_back_what_it_was(memory: MilvusMemory, owner: Owner) -> None:
    """And it is gone from the library and from search; a second time it is not found."""
    stored = concept(owner, "Bo", avatars=2)
    await memory.put(stored, expected_version=None)
    gone, _ = await memory.delete(owner, stored.id, expected_version=1)
    assert_same(gone, stored)
    assert (await memory.library(owner)).concepts == ()
    assert await memory.nearest(owner, vector_of(stored.avatars[0])[None], k=3) == [[]]
    with pytest.raises(ConceptNotFound):
        await memory.delete(owner, stored.id)
    with pytest.raises(ConceptNotFound):
        await memory.put(next_version(stored), expected_version=1)


async def test_several_are_removed_together(memory: MilvusMemory, owner: Owner) -> None:
    """Whatever versions they are at, their history too; the others stay, and what is not there is no error."""
    kept, *gone = stored = [concept(owner, f"thing-{n}") for n in range(4)]
    await memory.add(owner, stored)
    await memory.put(next_version(gone[0]), expected_version=1)
    await memory.remove(owner, [*(c.id for c in gone), "nobody"])
    await memory.remove(owner, [gone[0].id])
    assert [c.id for c in (await memory.library(owner)).concepts] == [kept.id]
    assert await memory.history(owner, gone[0].id) == ()
    assert [
        [n.concept_id for n in row] for row in await memory.nearest(owner, vector_of(gone[1].avatars[0])[None], k=4)
    ] == [[kept.id]]


@pytest.mark.parametrize("concept_id", ["", 'x" or scope != "', "../up", "no such", "x" * 65, "\x00"])
async def test_an_id_that_cannot_be_is_not_found(memory: MilvusMemory, owner: Owner, concept_id: str) -> None:
    """Ids from addresses never reach the filter language unchecked."""
    await memory.put(concept(owner, "Bo"), expected_version=None)
    with pytest.raises(ConceptNotFound):
        await memory.delete(owner, concept_id)
    assert len((await memory.library(owner)).concepts) == 1


async def test_every_write_is_seen_by_the_next_read(memory: MilvusMemory, owner: Owner) -> None:
    """A hundred random edits and deletions, each followed by a read: none is stale, none is half done."""
    chooser = random.Random(7)
    expected: dict[str, Concept] = {}
    last: Moment | None = None
    for step in range(100):
        roll = chooser.random()
        if not expected or roll < 0.4:
            changed = concept(owner, f"c {step}", avatars=chooser.randint(1, 3))
            last = await memory.put(changed, expected_version=None, after=last)
            expected[changed.id] = changed
        elif roll < 0.8:
            current = expected[chooser.choice(sorted(expected))]
            avatars = concept(owner, "x", avatars=chooser.randint(1, 3)).avatars
            changed = next_version(current, info=f"step {step}", avatars=avatars)
            last = await memory.put(changed, expected_version=current.version, after=last)
            expected[changed.id] = changed
        else:
            _, last = await memory.delete(owner, expected.popitem()[0], after=last)
        library = await memory.library(owner, after=last)
        assert {c.id: (c.version, c.info) for c in library.concepts} == {
            c.id: (c.version, c.info) for c in expected.values()
        }
        assert len(library.matrix) == sum(len(c.avatars) for c in expected.values())
    for found in (await memory.library(owner)).concepts:
        assert_same(found, expected[found.id])


async def test_a_moment_says_from_when_on_another_gateway_sees_a_write(
    memory: MilvusMemory, milvus_uri: str, owner: Owner
) -> None:
    """Edits and deletions, read and searched through a connection of its own; its writes see them too."""
    other = MilvusMemory(uri=milvus_uri, space=SPACE)
    current = concept(owner, "Bo")
    moment = await memory.put(current, expected_version=None)
    for step in range(10):
        writer, reader = (memory, other) if step % 2 else (other, memory)
        current = next_version(current, info=f"step {step}", avatars=concept(owner, "x").avatars)
        before, moment = moment, await writer.put(current, expected_version=current.version - 1, after=moment)
        assert (moment or 1) > (before or 0)
        assert_same((await reader.library(owner, after=moment)).get(current.id), current)
        avatar = current.avatars[0]
        (hits,) = await reader.nearest(owner, vector_of(avatar)[None], k=3, after=moment)
        assert [h.avatar_id for h in hits] == [avatar.id]
    with pytest.raises(NameTaken):
        await other.put(concept(owner, "bo"), expected_version=None, after=moment)
    _, moment = await memory.delete(owner, current.id, after=moment)
    assert (await other.library(owner, after=moment)).concepts == ()
    await other.put(concept(owner, "bo"), expected_version=None, after=moment)
    await other.close()


async def test_of_writers_at_the_same_moment_one_wins(memory: MilvusMemory, owner: Owner) -> None:
    """Ten edits of one version, and ten creations of one name."""
    stored = concept(owner, "Bo")
    await memory.put(stored, expected_version=None)
    edits = (memory.put(next_version(stored, info=str(i)), expected_version=1) for i in range(10))
    outcomes = await asyncio.gather(*edits, return_exceptions=True)
    assert [type(o) for o in outcomes if isinstance(o, Exception)] == [VersionMismatch] * 9
    creations = (memory.put(concept(owner, "Rex"), expected_version=None) for _ in range(10))
    outcomes = await asyncio.gather(*creations, return_exceptions=True)
    assert [type(o) for o in outcomes if isinstance(o, Exception)] == [NameTaken] * 9


async def test_nearest_is_exact(memory: MilvusMemory, owner: Owner) -> None:
    """The same avatars, order and similarities as plain numpy, after edits and deletions too."""
    concepts = [concept(owner, f"c {i}", avatars=1 + i % 3) for i in range(30)]
    for stored in concepts:
        await memory.put(stored, expected_version=None)
    for stored in concepts[:5]:
        await memory.put(next_version(stored, avatars=concept(owner, "x", avatars=2).avatars), expected_version=1)
    for stored in concepts[5:10]:
        await memory.delete(owner, stored.id)
    library = await memory.library(owner)
    ids = [(c.id, a.id) for c in library.concepts for a in c.avatars]
    queries = np.stack([unit_vector() for _ in range(4)])
    found = await memory.nearest(owner, queries, k=7)
    for query, hits in zip(queries, found, strict=True):
        similarities = library.matrix @ query
        best = np.argsort(-similarities)[:7]
        assert [(h.concept_id, h.avatar_id) for h in hits] == [ids[i] for i in best]
        np.testing.assert_allclose([h.similarity for h in hits], similarities[best], atol=1e-5)


async def test_readers_never_see_half_an_edit(memory: MilvusMemory, owner: Owner) -> None:
    """While one concept alternates between one and three avatars, each read finds one whole version of it."""
    current = concept(owner, "Bo", avatars=1)
    await memory.put(current, expected_version=None)
    done = asyncio.Event()

    async def read() -> list[Library]:
        seen = []
        while not done.is_set():
            seen.append(await memory.library(owner))
        return seen

    reader = asyncio.create_task(read())
    for _ in range(20):
        count = 3 if len(current.avatars) == 1 else 1
        edited = next_version(current, info=f"{count} avatars", avatars=concept(owner, "x", avatars=count).avatars)
        await memory.put(edited, expected_version=current.version)
        current = edited
    done.set()
    for library in await reader:
        (found,) = library.concepts
        assert len(library.matrix) == len(found.avatars)
        assert found.version == 1 or found.info == f"{len(found.avatars)} avatars"


@pytest.fixture(params=[DIM, DIM // 2], ids=["as wide", "narrower"])
async def newer(request: pytest.FixtureRequest, milvus_uri: str) -> AsyncIterator[MilvusMemory]:
    """A gateway with another embedder."""
    memory = MilvusMemory(uri=milvus_uri, space=EmbeddingSpace("tiny-2", request.param), timeout_seconds=60.0)
    yield memory
    await memory.close()


def seen_by(memory: MilvusMemory, stored: Concept) -> Concept:
    """``stored`` with other embeddings, as wide as the memory's."""
    version, dim = memory._space.version, memory._space.dim
    made = (replace(a, embeddings={version: unit_vector(dim=dim)}) for a in stored.avatars)
    return replace(stored, avatars=tuple(made))


async def test_concepts_of_another_embedder_are_there_but_cannot_be_compared(
    memory: MilvusMemory, newer: MilvusMemory, owner: Owner
) -> None:
    """Listed, their name taken, their texts edited without loss, and deleted with all that either embedder made."""
    stored = concept(owner, "Bo", avatars=2)
    await memory.put(stored, expected_version=None)
    library = await newer.library(owner)
    assert [c.embeddings("tiny-2") for c in library.concepts] == [()]
    assert library.matrix.shape == (0, newer._space.dim)
    assert await newer.nearest(owner, unit_vector(dim=newer._space.dim)[None], k=1) == [[]]
    with pytest.raises(NameTaken):
        await newer.put(seen_by(newer, concept(owner, "bo")), expected_version=None)
    await newer.put(next_version(library.concepts[0], info="edited"), expected_version=1)
    assert_same((await memory.library(owner)).get(stored.id), next_version(stored, info="edited"))
    (hits,) = await memory.nearest(owner, vector_of(stored.avatars[1])[None], k=1)
    assert hits[0].avatar_id == stored.avatars[1].id
    gone, moment = await newer.delete(owner, stored.id, expected_version=2)
    assert (gone.info, [a.id for a in gone.avatars]) == ("edited", [a.id for a in stored.avatars])
    assert (await memory.library(owner, after=moment)).concepts == ()
    job = Job(10, moment)
    for table in (memory._tables.concepts, *memory._tables.avatars(job).values(), memory._tables.history):
        assert memory._tables.query(table, f'scope == "{owner.scope}"', ["pk"], Job(10, moment)) == []


async def test_two_embedders_can_serve_one_concept(memory: MilvusMemory, newer: MilvusMemory, owner: Owner) -> None:
    """Each finds it by its own embeddings, after edits by either, until one brings pictures that the other lacks."""
    first = concept(owner, "Bo", avatars=2)
    await memory.put(first, expected_version=None)
    second = seen_by(newer, next_version(first))
    await newer.put(second, expected_version=1)
    edited = next_version(second, info="edited", avatars=first.avatars[:1])
    await memory.put(edited, expected_version=2)
    assert_same((await memory.library(owner)).get(first.id), edited)
    assert_same((await newer.library(owner)).get(first.id), replace(edited, avatars=second.avatars[:1]))
    for gateway, seen in ((memory, first), (newer, second)):
        (hits,) = await gateway.nearest(owner, vector_of(seen.avatars[0])[None], k=3)
        assert [(h.avatar_id, round(h.similarity, 3)) for h in hits] == [(first.avatars[0].id, 1.0)]
    more = next_version(edited, avatars=(*edited.avatars, *concept(owner, "x").avatars))
    await memory.put(more, expected_version=3)
    assert_same((await memory.library(owner)).get(first.id), more)
    assert [c.embeddings("tiny-2") for c in (await newer.library(owner)).concepts] == [()]
    assert await newer.nearest(owner, vector_of(second.avatars[0])[None], k=3) == [[]]


async def test_what_another_embedder_has_not_seen_is_added_beside(
    memory: MilvusMemory, newer: MilvusMemory, owner: Owner
) -> None:
    """Of concepts whose avatars are all there, without a new version; and the old one's can be taken away after."""
    space = newer._space
    bo, rex, tom = (concept(owner, name, avatars=2) for name in ("Bo", "Rex", "Tom"))
    for stored in (bo, rex, tom):
        await memory.put(stored, expected_version=None)
    await memory.put(next_version(rex, info="edited"), expected_version=1)
    made = {a.id: unit_vector(dim=space.dim) for c in (bo, rex, tom) for a in c.avatars}
    del made[tom.avatars[1].id]
    for _ in range(2):
        moment = await memory.complete(owner, space, made)
        library = await memory.library(owner, space=space, after=moment)
        assert {c.name: len(c.embeddings(space.version)) for c in library.concepts} == {"Bo": 2, "Rex": 2, "Tom": 0}
        assert {(c.name, c.version, c.info) for c in library.concepts} >= {("Rex", 2, "edited"), ("Bo", 1, bo.info)}
        np.testing.assert_array_equal(library.get(bo.id).embeddings(space.version)[1], made[bo.avatars[1].id])
        assert len((await memory.library(owner)).matrix) == 6
    (hits,) = await newer.nearest(owner, made[rex.avatars[0].id][None], k=1)
    assert hits[0].avatar_id == rex.avatars[0].id

    moment = await memory.keep_only(owner, space)
    for gateway, expected in ((memory, {"Bo": 0, "Rex": 0, "Tom": 2}), (newer, {"Bo": 2, "Rex": 2, "Tom": 0})):
        library = await gateway.library(owner, after=moment)
        assert {c.name: len(c.embeddings(gateway._space.version)) for c in library.concepts} == expected
    assert len(await memory.history(owner, rex.id)) == 2


async def test_a_concept_comes_with_all_embeddings_that_were_made(
    memory: MilvusMemory, newer: MilvusMemory, owner: Owner
) -> None:
    """One write, whoever reads it; and an edit that brings one kind keeps the others of the avatars that stay."""
    first = concept(owner, "Bo", avatars=2)
    others = [unit_vector(dim=newer._space.dim) for _ in first.avatars]
    both = tuple(
        replace(a, embeddings={**a.embeddings, "tiny-2": other}) for a, other in zip(first.avatars, others, strict=True)
    )
    await memory.put(replace(first, avatars=both), expected_version=None)
    np.testing.assert_array_equal((await newer.library(owner)).matrix, others)
    (seen,) = (await memory.library(owner)).concepts
    added = replace(concept(owner, "x").avatars[0], embeddings=both[0].embeddings)
    await memory.put(next_version(seen, avatars=(*seen.avatars, added)), expected_version=1)
    np.testing.assert_array_equal((await newer.library(owner)).matrix, [*others, others[0]])
    assert len((await memory.library(owner)).matrix) == 3


async def test_what_a_dead_writer_left_is_ignored_and_then_removed(
    milvus_uri: str, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer dies before its commit: its avatars are found by nobody; one dies after it: the new version counts."""
    writer = MilvusMemory(uri=milvus_uri, space=SPACE)
    tables = writer._tables
    stored = concept(owner, "Bo")
    await writer.put(stored, expected_version=None)
    plain_insert = tables.insert

    def dies_before_commit(table: str, rows: list[dict[str, object]], job: object) -> None:
        if table == tables.concepts:
            raise Unavailable("killed")
        plain_insert(table, rows, job)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(tables, "insert", dies_before_commit)
        await writer.put(next_version(stored, avatars=concept(owner, "x").avatars), expected_version=1)
    assert_same((await writer.library(owner)).get(stored.id), stored)
    assert await writer.history(owner, stored.id) == (said(stored),)
    assert [h.avatar_id for h in (await writer.nearest(owner, unit_vector()[None], k=5))[0]] == [stored.avatars[0].id]

    edited = next_version(stored, info="edited")
    with monkeypatch.context() as patch:
        patch.setattr(tables, "delete", lambda *_: (_ for _ in ()).throw(Unavailable("killed")))
        await writer.put(edited, expected_version=1)
    assert_same((await writer.library(owner)).get(stored.id), edited)
    assert await writer.history(owner, stored.id) == (said(edited), said(stored))
    gone = concept(owner, "Gone")
    await writer.put(gone, expected_version=None)
    await writer.put(next_version(gone), expected_version=1)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_remove_after_commit", lambda *_: None)
        await writer.delete(owner, gone.id)
    assert await writer.history(owner, gone.id) == ()
    await writer.close()

    monkeypatch.setattr(milvus_adapter, "GRACE_MS", -1_000)
    fresh = MilvusMemory(uri=milvus_uri, space=SPACE)
    await fresh.put(concept(owner, "Rex"), expected_version=None)
    job = Job(10)
    left = [
        fresh._tables.query(t, f'scope == "{owner.scope}"', ["pk"], job)
        for t in (tables.concepts, fresh._tables.avatars_of(DIM, job), tables.history)
    ]
    assert [len(rows) for rows in left] == [2, 2, 1]
    await fresh.close()


def said(stored: Concept) -> ConceptVersion:
    """What the history should keep of a version."""
    return ConceptVersion(
        version=stored.version,
        name=stored.name,
        category=stored.category,
        info=stored.info,
        metadata=stored.metadata,
        avatar_ids=tuple(a.id for a in stored.avatars),
        updated_at=stored.updated_at,
        write_id=stored.write_id,
    )


async def test_all_versions_of_a_concept_are_its_history(memory: MilvusMemory, milvus_uri: str, owner: Owner) -> None:
    """Newest first, whole, seen by another gateway, and the owner's alone; a deletion takes all of it."""
    other = MilvusMemory(uri=milvus_uri, space=SPACE)
    assert await memory.history(owner, new_ulid()) == ()
    versions = [concept(owner, "Bo", metadata={"colour": "brown"})]
    moment = await memory.put(versions[0], expected_version=None)
    for text in ("\ud800", "🐢" * MAX_INFO_LENGTH, "third"):
        versions.append(next_version(versions[-1], info=text, avatars=concept(owner, "x", avatars=2).avatars))
        moment = await memory.put(versions[-1], expected_version=versions[-2].version, after=moment)
    assert await other.history(owner, versions[0].id, after=moment) == tuple(said(v) for v in reversed(versions))
    assert await memory.history(Owner(owner.tenant, new_ulid()), versions[0].id) == ()
    assert await memory.history(owner, '") or scope != "') == ()
    _, moment = await memory.delete(owner, versions[0].id, after=moment)
    assert await other.history(owner, versions[0].id, after=moment) == ()
    job, tables = Job(10, moment), other._tables
    assert tables.query(tables.history, f'scope == "{owner.scope}"', ["pk"], job) == []
    await other.close()


async def test_a_history_does_not_grow_for_ever(
    memory: MilvusMemory, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest versions go, from the answer and from the disk."""
    monkeypatch.setattr(milvus_adapter, "MAX_VERSIONS", 3)
    current = concept(owner, "Bo")
    moment = await memory.put(current, expected_version=None)
    for _ in range(5):
        current = next_version(current)
        moment = await memory.put(current, expected_version=current.version - 1, after=moment)
    assert [v.version for v in await memory.history(owner, current.id, after=moment)] == [6, 5, 4]
    tables = memory._tables
    rows = tables.query(tables.history, f'scope == "{owner.scope}"', ["version"], Job(10, moment))
    assert sorted(r["version"] for r in rows) == [4, 5]


async def test_a_cancelled_write_is_over_before_its_caller_goes_on(memory: MilvusMemory, owner: Owner) -> None:
    """What follows it, such as replacing the cache's generation, must not overtake it."""
    for attempt in range(5):
        stored = concept(owner, f"c {attempt}")
        task = asyncio.create_task(memory.put(stored, expected_version=None))
        await asyncio.sleep(0.001 * attempt)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        before = [c.id for c in (await memory.library(owner)).concepts]
        await asyncio.sleep(0.05)
        assert [c.id for c in (await memory.library(owner)).concepts] == before


async def test_a_library_larger_than_a_page_is_read_whole(
    memory: MilvusMemory, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are followed to the end."""
    monkeypatch.setattr("rap_serve.adapters.milvus_tables.PAGE_ROWS", 8)
    ids = []
    for i in range(30):
        stored = concept(owner, f"c {i}")
        await memory.put(stored, expected_version=None)
        ids.append(stored.id)
    assert [c.id for c in (await memory.library(owner)).concepts] == sorted(ids)


async def test_a_memory_that_is_not_there_is_unavailable(owner: Owner) -> None:
    """Reads, writes and pings say so, and do not hang; how long they take is the machine's matter."""
    away = MilvusMemory(uri=f"http://127.0.0.1:{free_port()}", space=SPACE, timeout_seconds=1.0)
    for call in (
        away.ping(),
        away.library(owner),
        away.put(concept(owner, "Bo"), expected_version=None),
        away.delete(owner, "x"),
        away.nearest(owner, unit_vector()[None], k=1),
    ):
        with pytest.raises(Unavailable):
            async with asyncio.timeout(20.0):
                await call
    await away.close()


@pytest.fixture
async def own_lite(tmp_path: Path) -> AsyncIterator[tuple[MilvusLiteServer, MilvusMemory]]:
    """A server that a test may kill, and a memory on it."""
    server = MilvusLiteServer(tmp_path / "milvus", free_port())
    server.start()
    memory = MilvusMemory(uri=server.uri, space=SPACE)
    yield server, memory
    await memory.close()
    server.stop()


async def test_acknowledged_writes_survive_a_killed_server(
    own_lite: tuple[MilvusLiteServer, MilvusMemory], owner: Owner
) -> None:
    """Killed amid a stream of edits, twice; after a restart on its port all is as acknowledged, or one edit newer."""
    server, memory = own_lite
    acknowledged: dict[str, Concept] = {}
    attempted: dict[str, Concept] = {}

    async def write() -> None:
        for i in range(1_000):
            current = acknowledged.get(f"c {i % 20}")
            changed = next_version(current, info=f"{i}") if current else concept(owner, f"c {i % 20}")
            attempted[changed.name] = changed
            await memory.put(changed, expected_version=current.version if current else None)
            acknowledged[changed.name] = changed

    for _ in range(2):
        writer = asyncio.create_task(write())
        await asyncio.sleep(1.2)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(Unavailable):
            await writer
        with pytest.raises(Unavailable):
            await memory.ping()
        server.start()
        found = {c.name: c for c in (await memory.library(owner)).concepts}
        for name, stored in acknowledged.items():
            assert_same(found[name], stored if found[name].version == stored.version else attempted[name])
        acknowledged |= found


async def test_a_stopped_server_closes_its_files_and_starts_again(
    own_lite: tuple[MilvusLiteServer, MilvusMemory], owner: Owner
) -> None:
    """Nothing is left in its log, and all is there."""
    server, memory = own_lite
    await memory.put(concept(owner, "Bo"), expected_version=None)
    server.stop()
    assert not server.alive()
    server.start()
    assert [c.name for c in (await memory.library(owner)).concepts] == ["Bo"]


async def test_a_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Even with one that was killed, so that nothing holds its folder and port."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from rap_serve.adapters.milvus_lite_server import MilvusLiteServer\n"
        f"server = MilvusLiteServer(Path({str(tmp_path)!r}), {free_port()}); server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    assert await asyncio.to_thread(_ends_within, 10.0, pid)


def _ends_within(seconds: float, pid: int) -> bool:
    """Waits for a process that is no child of ours; one that only waits to be reaped has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if " Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False
