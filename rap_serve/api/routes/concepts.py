"""``/v1/users/{user}/concepts``: what an owner has shown the service."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from rap_serve.api.deps import AttemptDep, OwnerDep, UseCases, UseCasesDep, only_known
from rap_serve.api.pages import PageSize, page
from rap_serve.api.schemas import (
    MAX_AVATARS_PER_CALL,
    AvatarBody,
    Box,
    ConceptBody,
    ConceptFields,
    ConceptPatchBody,
    concept_json,
    version_json,
)
from rap_serve.domain.catalogue import Attempt
from rap_serve.domain.concept import Concept, Owner
from rap_serve.domain.errors import InvalidInput
from rap_serve.services.edit import ConceptPatch
from rap_serve.services.enrol import AvatarDraft
from rap_serve.services.remember import ConceptDraft

router = APIRouter(prefix="/v1/users/{user}/concepts", tags=["concepts"])

IfMatch = Annotated[str | None, Header()]
_ETAG = re.compile(r'(?:W/)?"(\d{1,18})"')
BOX: TypeAdapter[list[float] | None] = TypeAdapter(Box | None)
_FORM_FIELDS = {"name", "category", "info", "metadata", "box_xyxy", "avatar"}


_JSON_OR_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ConceptBody.model_json_schema()},
            "multipart/form-data": {},
        },
    }
}


@dataclass(frozen=True, slots=True)
class Editing:
    """An edit that a request asks for, with all that the request says besides."""

    owner: Owner
    cases: UseCases
    attempt: Attempt | None
    if_match: str | None

    async def __call__(self, concept_id: str, patch: ConceptPatch, *, status: int = 200) -> Response:
        """The answer: the concept as it is then."""
        version = _version(self.if_match)
        edited = await self.cases.edit(self.owner, concept_id, patch, expected_version=version, attempt=self.attempt)
        self.cases.meter.count(self.owner, "write")
        return _with_etag(edited, status=status)


async def editing(owner: OwnerDep, cases: UseCasesDep, attempt: AttemptDep, if_match: IfMatch = None) -> Editing:
    """What every editing route needs."""
    return Editing(owner, cases, attempt, if_match)


EditDep = Annotated[Editing, Depends(editing)]


@router.post("", status_code=201, openapi_extra=_JSON_OR_FORM)
async def remember(request: Request, owner: OwnerDep, cases: UseCasesDep, attempt: AttemptDep) -> Response:
    """Stores a concept. JSON, or a multipart form with fields of the same names and files named ``avatar``."""
    form = request.headers.get("content-type", "").startswith("multipart/form-data")
    draft = await (_from_form(request, cases) if form else _from_json(request, cases))
    remembered = await cases.remember(owner, draft, attempt)
    cases.meter.count(owner, "write")
    return _with_etag(remembered.concept, concept_json(remembered.concept, remembered.lookalikes), status=201)


@router.get("", dependencies=[only_known("after", "limit", "name", "category")])
async def listed(
    owner: OwnerDep,
    cases: UseCasesDep,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: PageSize = 20,
    name: Annotated[str | None, Query(max_length=64)] = None,
    category: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """A page of concepts, oldest first; ``after`` is the last id of the page before."""
    concepts = [c for c in (await cases.recall(owner)).concepts if after is None or c.id > after]
    if name is not None:
        concepts = [c for c in concepts if c.name == name]
    if category is not None:
        concepts = [c for c in concepts if c.category == category]
    return page([concept_json(c) for c in concepts[: limit + 1]], limit)


@router.get("/{concept_id}")
async def read(concept_id: str, owner: OwnerDep, cases: UseCasesDep) -> Response:
    """One concept; its ``ETag`` is what ``If-Match`` wants."""
    return _with_etag((await cases.recall(owner)).get(concept_id))


@router.put("/{concept_id}")
async def replace(concept_id: str, body: ConceptBody, edit: EditDep) -> Response:
    """Replaces all of a concept but its id."""
    patch = ConceptPatch(
        name=body.name,
        category=body.category,
        info=body.info,
        metadata=body.metadata,
        avatars=await _drafts(body.avatars, edit.cases),
    )
    return await edit(concept_id, patch)


@router.patch("/{concept_id}")
async def change(concept_id: str, body: ConceptPatchBody, edit: EditDep) -> Response:
    """Changes what the body names."""
    patch = ConceptPatch(
        name=body.name,
        category=body.category,
        info=body.info,
        metadata=body.metadata,
        avatars=None if body.avatars is None else await _drafts(body.avatars, edit.cases),
    )
    return await edit(concept_id, patch)


@router.delete("/{concept_id}")
async def forget(
    concept_id: str, owner: OwnerDep, cases: UseCasesDep, attempt: AttemptDep, if_match: IfMatch = None
) -> dict[str, Any]:
    """Deletes a concept and its pictures."""
    await cases.forget(owner, concept_id, expected_version=_version(if_match), attempt=attempt)
    cases.meter.count(owner, "write")
    return {"id": concept_id, "object": "concept", "deleted": True}


@router.get("/{concept_id}/history")
async def history(
    concept_id: str,
    owner: OwnerDep,
    cases: UseCasesDep,
    after: Annotated[int | None, Query(ge=1)] = None,
    limit: PageSize = 20,
) -> dict[str, Any]:
    """A page of a concept's versions, newest first; ``after`` is the last version of the page before."""
    versions = [v for v in await cases.history(owner, concept_id) if after is None or v.version < after]
    return page([version_json(v) for v in versions[: limit + 1]], limit, key="version")


@router.get("/{concept_id}/avatars")
async def avatars(concept_id: str, owner: OwnerDep, cases: UseCasesDep) -> dict[str, Any]:
    """The avatars of a concept."""
    concept = (await cases.recall(owner)).get(concept_id)
    return {"object": "list", "data": concept_json(concept)["avatars"], "has_more": False}


@router.post("/{concept_id}/avatars", status_code=201)
async def add_avatar(concept_id: str, body: AvatarBody, edit: EditDep) -> Response:
    """Adds a picture to a concept."""
    return await edit(concept_id, ConceptPatch(added_avatars=await _drafts([body], edit.cases)), status=201)


@router.delete("/{concept_id}/avatars/{avatar_id}")
async def remove_avatar(concept_id: str, avatar_id: str, edit: EditDep) -> Response:
    """Takes a picture from a concept; the last one stays."""
    return await edit(concept_id, ConceptPatch(removed_avatar=avatar_id))


def _with_etag(concept: Concept, body: dict[str, Any] | None = None, *, status: int = 200) -> Response:
    return JSONResponse(body or concept_json(concept), status, {"ETag": f'"{concept.version}"'})


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput('If-Match is the ETag of a concept, such as "3", or *.')
    return int(found[1])


async def _from_json(request: Request, cases: UseCases) -> ConceptDraft:
    with _as_request_error():
        body = ConceptBody.model_validate_json(await request.body())
    return ConceptDraft(**body.model_dump(exclude={"avatars"}), avatars=await _drafts(body.avatars, cases))


async def _drafts(avatars: Sequence[AvatarBody], cases: UseCases) -> tuple[AvatarDraft, ...]:
    pictures = await asyncio.gather(*(cases.pictures.load(a.image) for a in avatars))
    return tuple(AvatarDraft(picture, _box(avatar.box_xyxy)) for picture, avatar in zip(pictures, avatars, strict=True))


def _box(box: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    return None if box is None else (box[0], box[1], box[2], box[3])


async def _from_form(request: Request, cases: UseCases) -> ConceptDraft:
    async with request.form(max_files=MAX_AVATARS_PER_CALL, max_fields=len(_FORM_FIELDS)) as form:
        if unknown := sorted(set(form) - _FORM_FIELDS):
            raise InvalidInput(f"Unknown form field {unknown[0]!r}; known: {', '.join(sorted(_FORM_FIELDS))}.")
        with _as_request_error():
            fields = ConceptFields.model_validate(
                {k: form[k] for k in ("name", "category", "info") if k in form}
                | {"metadata": _form_json(form, "metadata") or {}}
            )
            box = BOX.validate_python(_form_json(form, "box_xyxy"))
        files = [f for f in form.getlist("avatar") if isinstance(f, UploadFile)]
        pictures = [await cases.pictures.load(await f.read()) for f in files]
    if box is not None and len(pictures) != 1:
        raise InvalidInput("box_xyxy goes with exactly one avatar file.")
    return ConceptDraft(**fields.model_dump(), avatars=tuple(AvatarDraft(p, _box(box)) for p in pictures))


def _form_json(form: FormData, field: str) -> Any:
    try:
        return json.loads(str(form[field])) if field in form else None
    except ValueError as error:
        raise InvalidInput(f"The form field {field!r} is not JSON.") from error


@contextmanager
def _as_request_error() -> Iterator[None]:
    """A body that we validate ourselves fails like one that FastAPI validates."""
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error
