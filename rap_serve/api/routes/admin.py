"""``/admin/v1``: tenants, their keys and limits, and who did what.

The operator's key opens all of it; a tenant's key with the scope ``admin`` opens what is that tenant's own.
"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from rap_serve.api.deps import UseCasesDep, caller
from rap_serve.api.pages import After, PageSize, page
from rap_serve.api.routes.jobs import job_json
from rap_serve.api.routes.usage import usage_json
from rap_serve.api.schemas import EmbedderBody, KeyBody, MoveBody, RotateBody, TenantBody, TenantPatchBody
from rap_serve.domain.concept import EmbeddingSpace, Owner
from rap_serve.domain.errors import TenantNotFound
from rap_serve.domain.tenancy import OPERATOR, ApiKey, Audited, Caller, Limits, Tenant
from rap_serve.services.administer import Issued
from rap_serve.services.reembed import CLUSTER

router = APIRouter(prefix="/admin/v1", tags=["administration"])


@router.post("/tenants", status_code=201)
async def create(body: TenantBody, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """A new tenant, without a key as yet."""
    operator = _operator(request)
    return tenant_json(await cases.administer.create(operator, body.id, Limits(**body.limits.model_dump())))


@router.get("/tenants")
async def listed(request: Request, cases: UseCasesDep, after: After = "", limit: PageSize = 20) -> dict[str, Any]:
    """A page of tenants, by id."""
    _operator(request)
    return page([tenant_json(t) for t in await cases.tenants.page(after=after, limit=limit + 1)], limit)


@router.get("/tenants/{tenant}")
async def read(tenant: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """A tenant, and what it holds."""
    _admin(request, tenant)
    found = tenant_json(await cases.tenants.get(tenant))
    return {**found, "held": asdict(await cases.quotas.held(tenant))}


@router.patch("/tenants/{tenant}")
async def change(tenant: str, body: TenantPatchBody, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Other limits (all of them at once), suspended or active."""
    operator = _operator(request)
    limits = None if body.limits is None else Limits(**body.limits.model_dump())
    return tenant_json(await cases.administer.change(operator, tenant, limits=limits, state=body.state))


@router.delete("/tenants/{tenant}", status_code=202)
async def erase(tenant: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Erases a tenant: none of its keys opens anything any more; its users' data is purged by a job."""
    return job_json(await cases.erase.tenant(_operator(request), tenant))


@router.post("/tenants/{tenant}:move", status_code=202)
async def move(tenant: str, body: MoveBody, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Moves a tenant to another shelf of the memory, under its reads and writes, by a job."""
    operator = _operator(request)
    grace, pause = body.grace_seconds, body.pause_seconds
    return job_json(await cases.move(operator, tenant, body.shelf, grace=grace, pause=pause))


@router.post("/tenants/{tenant}/users/{user}:accept-loss")
async def accept_loss(tenant: str, user: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Lets go what the memory lost of a user's concepts; the rest is served again."""
    operator = _operator(request)
    await cases.tenants.get(tenant)
    loss = await cases.accept_loss(operator, Owner(tenant, user))
    return {"object": "loss", "tenant": tenant, "user": user, **asdict(loss)}


@router.get("/tenants/{tenant}/jobs/{job_id}")
async def job(tenant: str, job_id: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """How far a tenant's job is."""
    _admin(request, tenant)
    return job_json(await cases.jobs.get(tenant, job_id))


@router.get("/embedders")
async def embedders(request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """The embedders that run, and which one answers."""
    _operator(request)
    current = cases.embedding.current.space
    found = [_embedder_json(model.space, answers=model.space == current) for model in cases.embedding.all]
    return page(found, len(found))


@router.post("/embedders", status_code=202)
async def reembed(body: EmbedderBody, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Embeds everything anew with another embedder, which then answers, under reads and writes, by a job."""
    grace, pause = body.grace_seconds, body.pause_seconds
    return job_json(await cases.reembed(_operator(request), body.version, grace=grace, pause=pause))


@router.get("/jobs/{job_id}")
async def own_job(job_id: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """How far a job of the whole cluster is."""
    _operator(request)
    return job_json(await cases.jobs.get(CLUSTER, job_id))


@router.post("/jobs/{job_id}:cancel")
async def cancel(job_id: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Stops a job of the whole cluster at its next step; what is done stays done."""
    _operator(request)
    return job_json(await cases.jobs.cancel(CLUSTER, job_id))


@router.get("/tenants/{tenant}/usage")
async def usage(tenant: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """What a tenant used in the last 30 days."""
    _admin(request, tenant)
    return await usage_json(tenant, cases, None, None, None)


@router.post("/tenants/{tenant}/keys", status_code=201)
async def issue(tenant: str, body: KeyBody, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """A new key; ``secret`` is in this answer and never again."""
    who = _admin(request, tenant)
    issued = await cases.administer.issue(
        who, tenant, label=body.label, scopes=body.scopes, expires_in=body.expires_in_seconds
    )
    return _issued_json(issued)


@router.get("/tenants/{tenant}/keys")
async def keys(tenant: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """All keys of a tenant, ended ones included, without their secrets."""
    _admin(request, tenant)
    found = [key_json(key) for key in await cases.tenants.keys(tenant)]
    return page(found, len(found))


@router.post("/tenants/{tenant}/keys/{key_id}:rotate", status_code=201)
async def rotate(
    tenant: str, key_id: str, request: Request, cases: UseCasesDep, body: RotateBody | None = None
) -> dict[str, Any]:
    """A new key in place of one that stays valid for a while."""
    who = _admin(request, tenant)
    overlap = (body or RotateBody()).overlap_seconds
    return _issued_json(await cases.administer.rotate(who, tenant, key_id, overlap=overlap))


@router.delete("/tenants/{tenant}/keys/{key_id}")
async def revoke(tenant: str, key_id: str, request: Request, cases: UseCasesDep) -> dict[str, Any]:
    """Ends a key; it opens nothing on any gateway within five seconds."""
    return key_json(await cases.administer.revoke(_admin(request, tenant), tenant, key_id))


@router.get("/audit")
async def audit(
    request: Request,
    cases: UseCasesDep,
    tenant: Annotated[str | None, Query(max_length=64)] = None,
    after: After = "",
    limit: PageSize = 20,
) -> dict[str, Any]:
    """Who did what, oldest first; a tenant's admin sees what concerns the tenant."""
    who = caller(request)
    wanted = tenant if OPERATOR in who.scopes else _admin(request, tenant or who.tenant).tenant
    return page([_audited_json(a) for a in await cases.audit.page(wanted, after=after, limit=limit + 1)], limit)


def tenant_json(tenant: Tenant) -> dict[str, Any]:
    """A tenant as clients see it."""
    return {
        "id": tenant.id,
        "object": "tenant",
        "state": tenant.state,
        "limits": asdict(tenant.limits),
        "shelf": tenant.shelf,
        "created_at": tenant.created_at // 1_000,
    }


def key_json(key: ApiKey) -> dict[str, Any]:
    """A key as clients see it: everything but the key."""
    return {
        "id": key.id,
        "object": "api_key",
        "tenant": key.tenant,
        "label": key.label,
        "shown": f"{key.shown}...",
        "scopes": sorted(key.scopes),
        "created_at": key.created_at // 1_000,
        "expires_at": key.expires_at and key.expires_at // 1_000,
        "revoked_at": key.revoked_at and key.revoked_at // 1_000,
    }


def _embedder_json(space: EmbeddingSpace, *, answers: bool) -> dict[str, Any]:
    return {"id": space.version, "object": "embedder", "dim": space.dim, "answers": answers}


def _issued_json(issued: Issued) -> dict[str, Any]:
    return {**key_json(issued.key), "secret": issued.secret}


def _audited_json(audited: Audited) -> dict[str, Any]:
    act = asdict(audited.act)
    return {"id": audited.id, "object": "audit", **act, "at": audited.act.at // 1_000}


def _operator(request: Request) -> Caller:
    """Who is calling; raises Forbidden where it is not the operator."""
    who = caller(request)
    who.require(OPERATOR)
    return who


def _admin(request: Request, tenant: str) -> Caller:
    """Who is calling; to a tenant's admin, other tenants do not exist."""
    who = caller(request)
    if OPERATOR not in who.scopes and who.tenant != tenant:
        raise TenantNotFound(f"There is no tenant {tenant!r}.")
    return who
