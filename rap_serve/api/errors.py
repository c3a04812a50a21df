"""Every error as OpenAI's envelope: ``{"error": {"message", "type", "param", "code"}}``."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rap_serve.domain import errors

STATUS: dict[type[errors.RapError], int] = {
    errors.RapError: 500,
    errors.InvalidInput: 400,
    errors.InvalidName: 400,
    errors.InvalidImage: 400,
    errors.UnsafeImageUrl: 400,
    errors.TooLarge: 413,
    errors.KeyReused: 422,
    errors.Unauthorised: 401,
    errors.Forbidden: 403,
    errors.TenantSuspended: 403,
    errors.QuotaExceeded: 403,
    errors.NotFound: 404,
    errors.ConceptNotFound: 404,
    errors.ModelNotFound: 404,
    errors.TenantNotFound: 404,
    errors.JobNotFound: 404,
    errors.Conflict: 409,
    errors.NameTaken: 409,
    errors.VersionMismatch: 412,
    errors.InProgress: 409,
    errors.Erased: 409,
    errors.Overloaded: 429,
    errors.RateLimited: 429,
    errors.OverShare: 429,
    errors.ClusterFull: 503,
    errors.Unavailable: 503,
    errors.Unwritten: 503,
    errors.Incomplete: 503,
    errors.DeadlineExceeded: 504,
}
RETRY_AFTER_SECONDS = {429: 1, 503: 2}
_CODE_BY_VALIDATION = {
    "extra_forbidden": "unknown_field",
    "missing": "missing_field",
    "json_invalid": "invalid_json",
}
_CODE_BY_STATUS = {404: "unknown_path", 405: "method_not_allowed", 400: "invalid_request", 413: "too_large"}


def envelope(message: str, *, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """The body of an error answer."""
    return {"error": {"message": message, "type": _type(status), "param": param, "code": code}}


def _type(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def response(message: str, *, status: int, code: str, param: str | None = None) -> JSONResponse:
    """An error answer, with ``Retry-After`` where trying again makes sense."""
    after = RETRY_AFTER_SECONDS.get(status)
    headers = {"Retry-After": str(after)} if after else None
    return JSONResponse(envelope(message, status=status, code=code, param=param), status, headers)


def note(error: errors.RapError) -> None:
    """Writes down why a request failed, where it is our fault; and what was behind it, where there is more to know."""
    if status_of(error) >= 500:
        cause = None if error.__cause__ is None else type(error.__cause__).__name__
        structlog.get_logger().warning("refused", code=error.code, reason=str(error), cause=cause)


def answer_for(error: errors.RapError) -> JSONResponse:
    """The answer to one of our errors."""
    return response(str(error), status=status_of(error), code=error.code)


def status_of(error: errors.RapError) -> int:
    """The HTTP status of one of our errors; an adapter's own kind has that of what it derives from."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def install(app: FastAPI) -> None:
    """Makes ``app`` answer every error with the envelope, and log the ones that are our fault."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.RapError)
        note(error)
        return answer_for(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer_for_validation(error.errors())

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = _CODE_BY_STATUS.get(error.status_code, "invalid_request")
        return response(str(error.detail), status=error.status_code, code=code)

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        structlog.get_logger().error("unexpected_error", path=request.url.path, exc_info=error)
        return response("Something went wrong on our side.", status=500, code="internal_error")

    app.add_exception_handler(errors.RapError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def answer_for_validation(problems: Sequence[Any]) -> JSONResponse:
    """The answer to a body that does not have the form it should; names the problem that lies deepest.

    Where a field may have several forms, the form that was meant is the one that was matched furthest.
    """
    worst = max(problems, key=lambda p: len(p["loc"]))
    param = ".".join(str(part) for part in worst["loc"] if _is_field(part)) or None
    code = _CODE_BY_VALIDATION.get(worst["type"], "invalid_request")
    where = f"{param}: " if param else ""
    return response(f"{where}{worst['msg']}", status=400, code=code, param=param)


def _is_field(part: str | int) -> bool:
    """Whether a part of a location is the caller's word, not pydantic's for a form."""
    return isinstance(part, int) or (part not in ("body", "query", "path", "str") and "[" not in part)
