"""Long work: imports, exports and erasures are started here, followed, cancelled, and their results fetched."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from rap_serve.api.deps import OwnerDep, UseCasesDep, caller, only_known, tenant
from rap_serve.api.pages import After, PageSize, page
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.job import Job

router = APIRouter(tags=["jobs"])

ARCHIVE = "application/zip"
HIDDEN = "archive"


@router.post("/v1/users/{user}/concepts:import", status_code=202)
async def take_in(request: Request, owner: OwnerDep, cases: UseCasesDep) -> Response:
    """Takes in an archive (the body, ``application/zip``): ours, or RAP's database.json, with pictures."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != ARCHIVE:
        raise InvalidInput(f"Send the archive itself as the body, with Content-Type: {ARCHIVE}.")
    return _started(await cases.transfers.take_in(owner, await request.body()))


@router.post("/v1/users/{user}/concepts:export", status_code=202)
async def give_out(owner: OwnerDep, cases: UseCasesDep) -> Response:
    """Makes an archive of all concepts; ``GET /v1/jobs/{id}/archive`` fetches it."""
    return _started(await cases.transfers.give_out(owner))


@router.delete("/v1/users/{user}", status_code=202)
async def erase(owner: OwnerDep, request: Request, cases: UseCasesDep) -> Response:
    """Erases a user: unreadable when this is answered, purged when the job is done, with a receipt."""
    return _started(await cases.erase.user(caller(request), owner))


@router.get("/v1/jobs", dependencies=[only_known("after", "limit")])
async def listed(request: Request, cases: UseCasesDep, after: After = "", limit: PageSize = 20) -> dict[str, Any]:
    """A page of the tenant's jobs, oldest first."""
    return page([job_json(job) for job in await cases.jobs.page(tenant(request), after=after, limit=limit + 1)], limit)


@router.get("/v1/jobs/{job_id}")
async def read(job_id: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """How far a job is, and what has come of it."""
    return job_json(await cases.jobs.get(tenant(request), job_id))


@router.post("/v1/jobs/{job_id}:cancel")
async def cancel(job_id: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Stops a job at its next step; what is done stays done. An erasure is not stopped."""
    job = await cases.jobs.get(tenant(request), job_id)
    if job.kind.startswith("erase"):
        raise InvalidInput("An erasure cannot be cancelled: its user is gone already.")
    return job_json(await cases.jobs.cancel(tenant(request), job_id))


@router.get("/v1/jobs/{job_id}/archive")
async def archive(job_id: str, request: Request, cases: UseCasesDep) -> Response:
    """What an export made."""
    data = await cases.transfers.archive(await cases.jobs.get(tenant(request), job_id))
    headers = {"Content-Disposition": f'attachment; filename="{job_id}.zip"'}
    return Response(data, media_type=ARCHIVE, headers=headers)


def job_json(job: Job) -> dict[str, Any]:
    """A job as clients see it."""
    state = {"state": "unreadable"} if job.kind.startswith("erase") and job.state != "done" else {}
    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "user": job.user,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "cancelling": job.cancelling,
        "created_at": job.created_at // 1_000,
        "ended_at": job.ended_at and job.ended_at // 1_000,
        "result": {**state, **{k: v for k, v in job.result.items() if k != HIDDEN}},
    }


def _started(job: Job) -> Response:
    return JSONResponse(job_json(job), 202, {"Location": f"/v1/jobs/{job.id}"})
