"""Answers to requests with an idempotency key, and who is at work on one."""

import asyncio
import contextlib
import json
import time
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import closed, opened
from rap_serve.adapters.catalogue.schema import replies
from rap_serve.domain.catalogue import Attempt, Reply
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import InProgress, KeyReused, Unavailable

KEPT_MS = 24 * 3_600_000
SWEEP_SECONDS = 600.0


class SqlReplies:
    """See Replies. An attempt belongs to the gateway that makes it for as long as that gateway says so.

    It says so every third of ``hold_seconds`` (``watch``); if it dies, another may take over once they are past.
    Bodies say what users store, so they lie closed.
    """

    def __init__(self, database: Database, *, master_key: bytes, hold_seconds: float = 6.0) -> None:
        """``master_key``: 32 bytes, the same on every gateway."""
        self._database = database
        self._master_key = master_key
        self._hold_ms = round(hold_seconds * 1_000)
        self._holder = new_ulid()
        self._under_way = 0
        self._swept_at = 0.0

    async def begin(self, tenant: str, key: str, *, user: str, fingerprint: str) -> Attempt | Reply:
        """See Replies."""
        mine = _at(tenant, key)

        def work(connection: Connection) -> Attempt | Reply:
            now_ms = _now_ms()
            held = {"holder": self._holder, "held_until": now_ms + self._hold_ms}
            row = connection.execute(select(replies).where(mine).with_for_update()).mappings().first()
            if row is not None and row["begun_at"] < now_ms - KEPT_MS:
                connection.execute(delete(replies).where(mine))
                row = None
            if row is None:
                first = {"tenant": tenant, "key": key, "user": user, "fingerprint": fingerprint, "write_id": new_ulid()}
                connection.execute(insert(replies).values(**first, **held, attempt=1, begun_at=now_ms))
                return Attempt(tenant, key, first["write_id"], 1)
            if row["fingerprint"] != fingerprint:
                raise KeyReused("This Idempotency-Key came with another request; use a new key for a new request.")
            if row["status"] is not None:
                return self._reply(row)
            if now_ms < row["held_until"]:
                raise InProgress("A request with this Idempotency-Key is being worked on; try again in a moment.")
            connection.execute(update(replies).where(mine).values(**held, attempt=row["attempt"] + 1))
            return Attempt(tenant, key, row["write_id"], row["attempt"] + 1)

        try:
            found = await self._database.write(work)
        except IntegrityError:  # somebody else was first to begin
            raise InProgress("A request with this Idempotency-Key is being worked on; try again in a moment.") from None
        if isinstance(found, Attempt):
            self._under_way += 1
        return found

    async def finish(self, attempt: Attempt, reply: Reply) -> None:
        """See Replies."""
        self._under_way -= 1
        answered: dict[str, Any] = {"status": reply.status, "headers": json.dumps(dict(reply.headers))}
        body = closed(self._master_key, reply.body, _context(attempt.tenant, attempt.key))
        change = update(replies).where(self._of(attempt)).values(**answered, body=body)
        await self._database.write(lambda connection: connection.execute(change))

    async def abandon(self, attempt: Attempt) -> None:
        """See Replies."""
        self._under_way -= 1
        gone = delete(replies).where(self._of(attempt), replies.c.status.is_(None))
        await self._database.write(lambda connection: connection.execute(gone))

    async def purge(self, owner: Owner) -> int:
        """See Replies."""
        theirs = (replies.c.tenant == owner.tenant) & (replies.c.user == owner.user)
        gone = delete(replies).where(theirs)
        return await self._database.write(lambda connection: connection.execute(gone).rowcount)

    async def watch(self) -> None:
        """Keeps saying that this gateway is at work, and drops what is too old; for ever."""
        while True:
            await asyncio.sleep(self._hold_ms / 3_000)
            with contextlib.suppress(Unavailable):
                await self._hold()
                await self._sweep()

    async def _hold(self) -> None:
        if self._under_way > 0:
            mine = (replies.c.holder == self._holder) & replies.c.status.is_(None)
            longer = update(replies).where(mine).values(held_until=_now_ms() + self._hold_ms)
            await self._database.write(lambda connection: connection.execute(longer))

    async def _sweep(self) -> None:
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            old = delete(replies).where(replies.c.begun_at < _now_ms() - KEPT_MS)
            await self._database.write(lambda connection: connection.execute(old))

    def _reply(self, row: RowMapping) -> Reply:
        body = opened(self._master_key, bytes(row["body"]), _context(row["tenant"], row["key"]))
        return Reply(row["status"], json.loads(row["headers"]), body)

    def _of(self, attempt: Attempt) -> Any:
        """Its row, as long as no other gateway has taken over."""
        return _at(attempt.tenant, attempt.key) & (replies.c.holder == self._holder)


def _at(tenant: str, key: str) -> Any:
    return (replies.c.tenant == tenant) & (replies.c.key == key)


def _context(tenant: str, key: str) -> str:
    return f"reply {tenant} {key}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
