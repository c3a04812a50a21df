"""``POST /v1/users/{user}/retrieve``: what a picture shows and a text names, without an answer."""

from typing import Any

from fastapi import APIRouter

from rap_serve.api.deps import OwnerDep, TimingsDep, UseCasesDep
from rap_serve.api.schemas import RetrieveBody, rap_json, region_json
from rap_serve.domain.deadline import current, enforced
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.ports import Picture
from rap_serve.domain.region import BoxXyxy
from rap_serve.services.retrieve import Query

router = APIRouter(prefix="/v1/users/{user}/retrieve", tags=["retrieval"])


@router.post("")
async def retrieve(body: RetrieveBody, owner: OwnerDep, cases: UseCasesDep, timings: TimingsDep) -> dict[str, Any]:
    """Regions with ranked candidates, and the evidence that would enter a prompt."""
    timings.until_now("arrival")
    if body.image is None and not body.text:
        raise InvalidInput("Send an image, a text, or both.")
    async with enforced(current()):
        with timings("decode"):
            picture = await cases.asked(owner, body.image) if body.image is not None else None
        query = Query(
            picture=picture,
            text=body.text,
            boxes_xyxy=_boxes(body, picture),
            candidates=body.top_k,
            timings=timings,
        )
        found = await cases.retrieve(owner, query)
    cases.meter.count(owner, "retrieve")
    return {"object": "retrieval", "regions": [region_json(r) for r in found.regions], **rap_json(found)}


def _boxes(body: RetrieveBody, picture: Picture | None) -> tuple[BoxXyxy, ...] | None:
    if body.boxes_xyxy is None:
        return None
    if picture is None or not body.boxes_xyxy:
        raise InvalidInput("boxes_xyxy goes with an image, and holds at least one box.")
    return tuple(picture.checked_box(b) for b in body.boxes_xyxy)
