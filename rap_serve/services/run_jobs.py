"""Does what waits to be done, on whichever gateway has time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from rap_serve.domain.catalogue import Jobs
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.errors import Overloaded, RapError, Unavailable
from rap_serve.domain.job import Job, JobKind

JOBS_AT_ONCE = 3
POLL_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 3.0
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The job was cancelled, or is another gateway's by now."""


class Resting(Exception):
    """The job goes on when it is time, on whichever gateway."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self.until = until


class Progress:
    """A job while it is worked on. Work says how far it is with ``keep``, and where it would go on."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs = jobs
        self.job = job

    async def keep(self, **changes: Any) -> None:
        """Remembers ``done``, ``total``, ``kept`` or ``result``. Raises Stopped."""
        self.job = replace(self.job, **changes)
        if not await self._jobs.keep(self.job):
            raise Stopped

    def rest_until(self, until: float) -> None:
        """Returns when ``until``, in seconds since 1970, has come; before that the work begins anew then."""
        if time.time() < until:
            raise Resting(until)

    async def live(self) -> None:
        """Gives signs of life beside the work; for ever."""
        while True:
            await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
            with contextlib.suppress(Unavailable):
                await self._jobs.hold(self.job.id)


Work: TypeAlias = Callable[[Progress], Awaitable[Mapping[str, Any]]]


class RunJobs:
    """Claims jobs and does them. None is lost: where a gateway dies, or a part is away, it goes on later."""

    def __init__(self, jobs: Jobs, work: Mapping[JobKind, Work]) -> None:
        self._jobs = jobs
        self._work = work

    async def watch(self) -> None:
        """Keeps doing what there is, a few at a time; for ever."""
        await asyncio.gather(*(self._one_after_another() for _ in range(JOBS_AT_ONCE)))

    async def _one_after_another(self) -> None:
        while True:
            if not await self.one():
                await self._jobs.added(at_most_seconds=POLL_SECONDS)

    async def one(self) -> bool:
        """Does the next job, if there is one."""
        try:
            job = await self._jobs.claim()
        except Unavailable:
            return False
        if job is not None:
            await self._do(job)
        return job is not None

    async def _do(self, job: Job) -> None:
        progress = Progress(self._jobs, job)
        living = asyncio.create_task(progress.live())
        try:
            result = await self._work[job.kind](progress)
            ended = replace(progress.job, state="done", result=result)
        except Stopped:
            ended = replace(progress.job, state="cancelled")
        except Resting as rest:
            with contextlib.suppress(Unavailable):
                await self._jobs.rest(progress.job.id, until_ms=round(rest.until * 1_000))
            return
        except (Unavailable, Overloaded):
            return  # taken up again where it was, once it is past its lease
        except RapError as error:
            ended = _failed(progress.job, error)
        except Exception as error:  # noqa: BLE001 - the outermost seam of work that nobody waits for
            _log.exception("a job failed", exc_info=error)
            ended = _failed(progress.job, RapError("Something went wrong on our side."))
        finally:
            living.cancel()
        with contextlib.suppress(Unavailable):
            await self._jobs.end(ended)


def queued(tenant: str, user: str, kind: JobKind, **wanted: Any) -> Job:
    """A new job."""
    now_ms = time.time_ns() // 1_000_000
    job_id = f"job_{new_ulid(now_ms=now_ms)}"
    return Job(id=job_id, tenant=tenant, user=user, kind=kind, created_at=now_ms, wanted=wanted)


def _failed(job: Job, error: RapError) -> Job:
    failure = {"code": error.code, "message": str(error)}
    return replace(job, state="failed", result={**job.result, "error": failure})
