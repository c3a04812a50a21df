"""``/v1/users/{user}/shares``: what users of one tenant let each other know."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from rap_serve.api.deps import AttemptDep, OwnerDep, UseCasesDep, only_known
from rap_serve.api.pages import After, PageSize, page
from rap_serve.api.schemas import ShareBody
from rap_serve.domain.concept import Concept
from rap_serve.domain.share import Share

router = APIRouter(prefix="/v1/users/{user}/shares", tags=["shares"])


@router.post("", status_code=201)
async def offer(body: ShareBody, owner: OwnerDep, cases: UseCasesDep) -> dict[str, Any]:
    """Offers concepts to another user, who knows them once it has accepted."""
    return share_json(await cases.share.offer(owner, body.with_, body.concepts))


@router.get("", dependencies=[only_known("after", "limit")])
async def listed(owner: OwnerDep, cases: UseCasesDep, after: After = "", limit: PageSize = 20) -> dict[str, Any]:
    """A page of what the user gives and takes, offers included, oldest first; each with what it covers now."""
    shares = await cases.share.page(owner, after=after, limit=limit + 1)
    return page([{**share_json(share), "covers": covers_json(concepts)} for share, concepts in shares], limit)


@router.post("/{share_id}:accept")
async def accept(share_id: str, owner: OwnerDep, cases: UseCasesDep) -> dict[str, Any]:
    """From now on the user's pictures and questions may be about what is shared."""
    return share_json(await cases.share.accept(owner, share_id))


@router.delete("/{share_id}")
async def end(share_id: str, owner: OwnerDep, cases: UseCasesDep, attempt: AttemptDep) -> dict[str, Any]:
    """Ends a share or an offer; either of the two may, at any time."""
    await cases.share.end(owner, share_id, attempt=attempt)
    return {"id": share_id, "object": "share", "deleted": True}


def share_json(share: Share) -> dict[str, Any]:
    """A share as clients see it."""
    return {
        "id": share.id,
        "object": "share",
        "from": share.giver.user,
        "with": share.taker.user,
        "concepts": None if share.concepts is None else sorted(share.concepts),
        "state": share.state,
        "created_at": share.created_at // 1_000,
        "accepted_at": share.accepted_at and share.accepted_at // 1_000,
    }


def covers_json(concepts: Sequence[Concept]) -> list[dict[str, str]]:
    """What a share is about, for who is to decide on it."""
    return [{"concept_id": c.id, "name": c.name, "category": c.category} for c in concepts]
