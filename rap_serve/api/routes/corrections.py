"""``/v1/users/{user}/corrections``: pictures of something that was taken for a concept."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from rap_serve.api.deps import AttemptDep, OwnerDep, UseCasesDep, only_known
from rap_serve.api.schemas import CorrectionBody
from rap_serve.domain.concept import Avatar, Concept
from rap_serve.domain.errors import NotFound
from rap_serve.domain.library import Library
from rap_serve.services.edit import ConceptPatch
from rap_serve.services.enrol import AvatarDraft

router = APIRouter(prefix="/v1/users/{user}/corrections", tags=["corrections"])


@dataclass(frozen=True, slots=True)
class Correction:
    """An avatar that does not show its concept."""

    concept: Concept
    avatar: Avatar


@router.post("", status_code=201)
async def correct(body: CorrectionBody, owner: OwnerDep, cases: UseCasesDep, attempt: AttemptDep) -> Response:
    """ "That is not Bo": what looks more like this picture than like Bo is not named Bo any more."""
    picture = await cases.pictures.load(body.image)
    box = None if body.box_xyxy is None else picture.checked_box(body.box_xyxy)
    patch = ConceptPatch(added_avatars=(AvatarDraft(picture, box, shows=False),))
    edited = await cases.edit(owner, body.concept_id, patch, attempt=attempt)
    cases.meter.count(owner, "write")
    return JSONResponse(_json(Correction(edited, edited.corrections[-1])), 201)


@router.get("", dependencies=[only_known()])
async def listed(owner: OwnerDep, cases: UseCasesDep) -> dict[str, Any]:
    """All corrections, concept by concept."""
    data = [_json(found) for found in _corrections(await cases.recall(owner))]
    return {"object": "list", "data": data, "has_more": False}


@router.delete("/{correction_id}")
async def withdraw(correction_id: str, owner: OwnerDep, cases: UseCasesDep, attempt: AttemptDep) -> dict[str, Any]:
    """Takes a correction back."""
    known = {found.avatar.id: found.concept for found in _corrections(await cases.recall(owner))}
    if correction_id in known:
        patch = ConceptPatch(removed_avatar=correction_id)
        await cases.edit(owner, known[correction_id].id, patch, attempt=attempt)
        cases.meter.count(owner, "write")
    elif attempt is None or attempt.number == 1:
        raise NotFound(f"There is no correction {correction_id!r} here.")
    return {"id": correction_id, "object": "correction", "deleted": True}


def _corrections(library: Library) -> list[Correction]:
    return [Correction(concept, avatar) for concept in library.concepts for avatar in concept.corrections]


def _json(found: Correction) -> dict[str, Any]:
    box = found.avatar.box_xyxy
    return {
        "id": found.avatar.id,
        "object": "correction",
        "concept_id": found.concept.id,
        "name": found.concept.name,
        "box_xyxy": box and list(box),
    }
