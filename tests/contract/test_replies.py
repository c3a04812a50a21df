"""What is kept of requests with an idempotency key, on SQLite and on PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import select

from rap_serve.adapters.catalogue import schema
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.replies import SqlReplies
from rap_serve.domain.catalogue import Attempt, Reply
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.errors import InProgress, KeyReused

STORED = Reply(201, {"etag": '"1"'}, b'{"id": "01"}')


async def begun(replies: SqlReplies, key: str, fingerprint: str = "f") -> Attempt:
    """Leave to do it, which there must be."""
    found = await replies.begin("t", key, user="ann", fingerprint=fingerprint)
    assert isinstance(found, Attempt)
    return found


async def test_an_answer_is_given_again_on_every_gateway(databases: tuple[Database, Database]) -> None:
    """To who sends the same with the same key, and to no other tenant."""
    here, there, key = (
        SqlReplies(databases[0], master_key=b"m" * 32),
        SqlReplies(databases[1], master_key=b"m" * 32),
        new_ulid(),
    )
    attempt = await begun(here, key)
    assert attempt.number == 1
    await here.finish(attempt, STORED)
    replayed = await there.begin("t", key, user="ann", fingerprint="f")
    assert isinstance(replayed, Reply)
    assert (replayed.status, dict(replayed.headers), replayed.body) == (201, {"etag": '"1"'}, b'{"id": "01"}')
    assert isinstance(await there.begin("another", key, user="ann", fingerprint="f"), Attempt)
    with pytest.raises(KeyReused):
        await there.begin("t", key, user="ann", fingerprint="g")


async def test_an_answer_is_kept_closed(databases: tuple[Database, Database]) -> None:
    """It may say what a user stores, and the database is no place to read that."""
    replies, key = SqlReplies(databases[0], master_key=b"m" * 32), new_ulid()
    await replies.finish(await begun(replies, key), Reply(201, {}, b"marker"))
    query = select(schema.replies.c.body).where(schema.replies.c.key == key)
    kept = await databases[1].read(lambda connection: connection.execute(query).scalar_one())
    assert b"marker" not in kept


async def test_of_many_at_once_one_does_it(databases: tuple[Database, Database]) -> None:
    """The others are told that somebody is at it."""
    gateways, key = [SqlReplies(database, master_key=b"m" * 32) for database in databases], new_ulid()
    begins = (gateways[n % 2].begin("t", key, user="", fingerprint="f") for n in range(20))
    found = await asyncio.gather(*begins, return_exceptions=True)
    assert sum(isinstance(f, Attempt) for f in found) == 1
    assert sum(isinstance(f, InProgress) for f in found) == 19


async def test_what_was_abandoned_is_tried_as_if_for_the_first_time(databases: tuple[Database, Database]) -> None:
    """Under another write id, with other parameters if need be."""
    replies, key = SqlReplies(databases[0], master_key=b"m" * 32), new_ulid()
    first = await begun(replies, key)
    await replies.abandon(first)
    second = await begun(replies, key, fingerprint="g")
    assert second.number == 1 and second.write_id != first.write_id


async def test_a_dead_gateways_attempt_is_taken_over(databases: tuple[Database, Database]) -> None:
    """Under the same write id; if it was not dead after all, it can change nothing any more."""
    dead, alive, key = (
        SqlReplies(databases[0], master_key=b"m" * 32, hold_seconds=2),
        SqlReplies(databases[1], master_key=b"m" * 32),
        new_ulid(),
    )
    first = await begun(dead, key)
    with pytest.raises(InProgress):
        await begun(alive, key)
    await asyncio.sleep(2.1)
    second = await begun(alive, key)
    assert (second.number, second.write_id) == (2, first.write_id)
    await dead.abandon(first)
    await alive.finish(second, STORED)
    await dead.finish(first, Reply(500, {}, b""))
    found = await dead.begin("t", key, user="ann", fingerprint="f")
    assert isinstance(found, Reply) and found.status == 201


async def test_a_slow_attempt_is_not_taken_over_while_its_gateway_lives(databases: tuple[Database, Database]) -> None:
    """It keeps saying so."""
    slow, other, key = (
        SqlReplies(databases[0], master_key=b"m" * 32, hold_seconds=0.6),
        SqlReplies(databases[1], master_key=b"m" * 32),
        new_ulid(),
    )
    attempt, watching = await begun(slow, key), asyncio.create_task(slow.watch())
    await asyncio.sleep(1.5)
    with pytest.raises(InProgress):
        await begun(other, key)
    await slow.finish(attempt, STORED)
    watching.cancel()
