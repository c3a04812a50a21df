"""Jobs, and which gateway is at work on which."""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, case, delete, func, insert, select, update

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.schema import jobs
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import JobNotFound
from rap_serve.domain.job import ENDED, Backlog, Job

JSON_FIELDS = ("wanted", "kept", "result")


class SqlJobs:
    """See Jobs."""

    def __init__(self, database: Database, *, hold_seconds: float = 10.0) -> None:
        """``hold_seconds``: how long after its last sign of life a gateway is taken for dead."""
        self._database = database
        self._hold_ms = round(hold_seconds * 1_000)
        self._holder = new_ulid()
        self._added = asyncio.Event()

    async def add(self, job: Job) -> None:
        """See Jobs."""
        await self._database.write(lambda connection: connection.execute(insert(jobs).values(**_columns(job))))
        self._added.set()

    async def added(self, *, at_most_seconds: float) -> None:
        """See Jobs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._added.wait()
        self._added.clear()

    async def get(self, tenant: str, job_id: str) -> Job:
        """See Jobs."""
        query = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant)
        row = await self._database.read(lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise JobNotFound(f"There is no job {job_id!r}.")
        return _job(row)

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[Job]:
        """See Jobs."""
        query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.id > after).order_by(jobs.c.id).limit(limit)
        return await self._database.read(lambda connection: [_job(r) for r in connection.execute(query).mappings()])

    async def claim(self) -> Job | None:
        """See Jobs."""

        now_ms = _now_ms()
        free = _free(now_ms)
        waiting = select(jobs.c.id).where(free).limit(1)
        if await self._database.read(lambda connection: connection.execute(waiting).first()) is None:
            return None  # who only looks keeps no writer waiting

        def work(connection: Connection) -> Job | None:
            query = select(jobs).where(free).order_by(jobs.c.id).limit(1).with_for_update(skip_locked=True)
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            held = {"holder": self._holder, "held_until": now_ms + self._hold_ms, "state": "running"}
            connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(**held))
            return _job({**row, **held})

        return await self._database.write(work)

    async def backlog(self) -> Backlog:
        """See Jobs."""
        now_ms = _now_ms()
        since = case((jobs.c.state == "queued", jobs.c.created_at), else_=jobs.c.held_until)
        query = select(func.count(), func.min(since)).where(_free(now_ms))
        waiting, first_ms = await self._database.read(lambda connection: connection.execute(query).one())
        return Backlog(waiting, max(0.0, (now_ms - first_ms) / 1_000) if waiting else 0.0)

    async def keep(self, job: Job) -> bool:
        """See Jobs."""
        values = {k: v for k, v in _columns(job).items() if k in ("done", "total", "kept", "result")}
        mine = (jobs.c.id == job.id) & (jobs.c.holder == self._holder) & (jobs.c.state == "running")

        def work(connection: Connection) -> bool:
            held = connection.execute(update(jobs).where(mine).values(**values, held_until=_now_ms() + self._hold_ms))
            cancelling = connection.execute(select(jobs.c.cancelling).where(jobs.c.id == job.id)).scalar()
            return bool(held.rowcount) and not cancelling

        return await self._database.write(work)

    async def hold(self, job_id: str) -> None:
        """See Jobs."""
        mine = (jobs.c.id == job_id) & (jobs.c.holder == self._holder) & (jobs.c.state == "running")
        longer = update(jobs).where(mine).values(held_until=_now_ms() + self._hold_ms)
        await self._database.write(lambda connection: connection.execute(longer))

    async def rest(self, job_id: str, *, until_ms: int) -> None:
        """See Jobs."""
        mine = (jobs.c.id == job_id) & (jobs.c.holder == self._holder) & (jobs.c.state == "running")
        let_go = update(jobs).where(mine).values(holder=None, held_until=until_ms)
        await self._database.write(lambda connection: connection.execute(let_go))

    async def purge(self, owner: Owner) -> int:
        """See Jobs."""
        theirs = (jobs.c.tenant == owner.tenant) & (jobs.c.user == owner.user) & jobs.c.kind.in_(("import", "export"))
        gone = delete(jobs).where(theirs)
        return await self._database.write(lambda connection: connection.execute(gone).rowcount)

    async def end(self, job: Job) -> None:
        """See Jobs."""
        values = {**_columns(job), "ended_at": _now_ms()}
        mine = (jobs.c.id == job.id) & (jobs.c.holder == self._holder) & (jobs.c.state == "running")
        await self._database.write(lambda connection: connection.execute(update(jobs).where(mine).values(**values)))

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """See Jobs."""
        going_on = (jobs.c.id == job_id) & (jobs.c.tenant == tenant) & jobs.c.state.not_in(ENDED)

        def work(connection: Connection) -> None:
            waiting = going_on & (jobs.c.state == "queued")
            ended = {"state": "cancelled", "ended_at": _now_ms()}
            connection.execute(update(jobs).where(waiting).values(**ended))
            connection.execute(update(jobs).where(going_on).values(cancelling=True))

        await self._database.write(work)
        return await self.get(tenant, job_id)


def _free(now_ms: int) -> ColumnElement[bool]:
    """Jobs that wait, and those whose gateway died or let them rest until now."""
    return (jobs.c.state == "queued") | ((jobs.c.state == "running") & (jobs.c.held_until < now_ms))


def _columns(job: Job) -> dict[str, Any]:
    plain = {n: getattr(job, n) for n in ("id", "tenant", "user", "kind", "state", "created_at", "ended_at")}
    counts = {"done": job.done, "total": job.total, "cancelling": job.cancelling}
    return {**plain, **counts, **{name: json.dumps(getattr(job, name)) for name in JSON_FIELDS}}


def _job(row: RowMapping | dict[str, Any]) -> Job:
    fields = {name: row[name] for name in Job.__dataclass_fields__}
    return Job(**{**fields, **{name: json.loads(row[name]) for name in JSON_FIELDS}})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
