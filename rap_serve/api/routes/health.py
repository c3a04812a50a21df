"""Whether the service lives, whether it can serve, and what it counts."""

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from rap_serve.api.deps import UseCasesDep
from rap_serve.domain.errors import Unavailable

router = APIRouter(tags=["operations"])

METRICS_SECONDS = 5.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The gateway lives."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(cases: UseCasesDep) -> dict[str, str]:
    """The gateway, its models, its memory and its catalogue answer; 503 otherwise."""
    await cases.check_ready()
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """The node's metrics in Prometheus' text format."""
    url = request.app.state.metrics_url
    if url is None:
        return JSONResponse({"detail": "Metrics are scraped from Ray's exporter in this profile."}, 404)
    try:
        async with httpx.AsyncClient(timeout=METRICS_SECONDS, trust_env=False) as client:
            scraped = await client.get(url)
    except httpx.HTTPError as error:
        raise Unavailable("The metrics exporter of this node does not answer.") from error
    return PlainTextResponse(scraped.text)
