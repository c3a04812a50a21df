"""``GET /v1/usage``: what a tenant has used, what it holds and what it may."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from rap_serve.api.deps import UseCases, UseCasesDep, tenant
from rap_serve.domain.tenancy import Consumption

router = APIRouter(tags=["usage"])

DAY_SECONDS = 86_400
DAYS = 30


@router.get("/v1/usage")
async def usage(
    request: Request,
    cases: UseCasesDep,
    first: Annotated[str | None, Query(alias="from", pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    last: Annotated[str | None, Query(alias="to", pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    user: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Days in UTC, both included; the last 30 days where nothing is said. Counts appear within seconds."""
    return await usage_json(tenant(request), cases, first, last, user)


async def usage_json(
    tenant: str, cases: UseCases, first: str | None, last: str | None, user: str | None
) -> dict[str, Any]:
    """What a tenant used from ``first`` to ``last``, holds and may."""
    now = time.time()
    days = first or _day(now - DAYS * DAY_SECONDS), last or _day(now)
    await cases.meter.flush()
    rows = await cases.usage.between(tenant, *days, user=user)
    return {
        "object": "list",
        "data": [{"object": "usage", **_counted(row)} for row in rows],
        "totals": {name: _total(rows, name) for name in ("requests", "prompt_tokens", "completion_tokens")},
        "held": asdict(await cases.quotas.held(tenant)),
        "limits": asdict(cases.authenticate.limits(tenant)),
    }


def _counted(row: Consumption) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "tenant"}


def _total(rows: Sequence[Consumption], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
