"""What every request passes before a route sees it: id, key, scope, rate, size, turn. What is counted in the end."""

import math
import time
from collections.abc import Callable, Iterator

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rap_serve.api.deps import ApiMetrics
from rap_serve.api.errors import answer_for, note
from rap_serve.api.lanes import work_of
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.deadline import asked, within
from rap_serve.domain.errors import InvalidInput, RapError, TooLarge
from rap_serve.domain.tenancy import Allowance, KeyScope
from rap_serve.services.admit import Admit, Work
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.throttle import Throttle, refusal
from rap_serve.services.timings import Timings

KEYED_PREFIXES = ("/v1/", "/admin/")
ASKING = ("/v1/chat/completions",)
ASKING_SUFFIX = "/retrieve"
"""What is posted and yet changes nothing."""

ARCHIVE_SUFFIX = ":import"
"""What may be as large as an archive."""

TIMEOUT_HEADER = "x-rap-timeout-seconds"
"""How long a request gives itself. Ray Serve's proxy has a header of its own, and answers that in its own words."""

_DRAINED_TIMES_LIMIT = 4
_log = structlog.get_logger()


class Gate:
    """ASGI middleware. A keyed path without a key that may do this never reaches a route or has its body parsed."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Authenticate,
        throttle: Throttle,
        admit: Admit,
        body_bytes: int,
        archive_bytes: int,
        deadline_seconds: float,
        metrics: ApiMetrics,
        timings: Callable[[], Timings] = Timings,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._throttle = throttle
        self._admit = admit
        self._body_bytes = body_bytes
        self._archive_bytes = archive_bytes
        self._deadline_seconds = deadline_seconds
        self._metrics = metrics
        self._timings = timings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request.state.request_id = f"req_{new_ulid().lower()}"
        request.state.allowances, request.state.retry_in = {}, None
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.state.request_id)
        request.state.timings = self._timings()
        started, status = time.perf_counter(), 500
        request.state.started = started
        self._metrics.request_began()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request.state.request_id
                headers.update(dict(_rate_headers(request.state.allowances, request.state.retry_in)))
            await send(message)

        try:
            await self._in_time(request, scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.request(route=route, method=request.method, status=status, seconds=seconds)
            _log.info(
                "request",
                method=request.method,
                route=route,
                status=status,
                milliseconds=round(seconds * 1_000, 1),
            )

    async def _in_time(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            deadline = asked(request.headers.get(TIMEOUT_HEADER), at_most=self._deadline_seconds)
        except InvalidInput as error:
            await answer_for(error)(scope, receive, send)
            return
        with within(deadline):
            await self._admitted(request, scope, receive, send)

    async def _admitted(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"].startswith(KEYED_PREFIXES):
                with request.state.timings("key"):
                    await self._keyed(request)
            body = await self._bounded(request, receive)
            work = self._work(request)
        except RapError as error:
            note(error)
            await answer_for(error)(scope, receive, send)
            return
        if work is None:
            await self._app(scope, body, send)
            return
        async with self._admit.slot(request.state.caller.tenant, work) as slot:
            request.state.slot = slot
            await self._app(scope, body, send)

    async def _keyed(self, request: Request) -> None:
        """Raises Unauthorised, Forbidden, RateLimited or Unavailable."""
        caller = await self._authenticate(request.headers.get("authorization"))
        request.state.caller = caller
        structlog.contextvars.bind_contextvars(tenant=caller.tenant)
        caller.require(needed_scope(request.method, request.scope["path"]))
        allowance = await self._throttle.request(caller.tenant) if caller.tenant else None
        if allowance is not None:
            request.state.allowances["requests"] = allowance
            if allowance.retry_in is not None:
                raise refusal("requests", allowance)

    def _work(self, request: Request) -> Work | None:
        """What needs its turn; None for what never waits. Raises OverShare or ClusterFull."""
        work = work_of(request.method, request.scope["path"], request.headers.get("content-length"))
        refusal = self._admit.refusal(request.state.caller.tenant, work) if work else None
        if refusal is not None:
            request.state.retry_in = refusal.retry_in
            raise refusal.error()
        return work

    async def _bounded(self, request: Request, receive: Receive) -> Receive:
        """``receive``, counting; raises TooLarge at once where the header already says so."""
        archive = request.scope["path"].endswith(ARCHIVE_SUFFIX)
        limit = self._archive_bytes if archive else self._body_bytes
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            await _drain(receive, limit)
            raise _too_large(limit)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        return counted


async def _drain(receive: Receive, limit: int) -> None:
    """Reads what a client insists on sending, within reason, so that it gets to read the answer."""
    left = limit * _DRAINED_TIMES_LIMIT
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b"")) + 1
        if message["type"] != "http.request" or not message.get("more_body"):
            return


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A request body is at most {limit:,} bytes.")


def needed_scope(method: str, path: str) -> KeyScope:
    """What a key must be allowed to; whatever is not known to read, writes."""
    if path.startswith("/admin/"):
        return "admin"
    reads = method in ("GET", "HEAD", "OPTIONS") or path in ASKING or path.endswith(ASKING_SUFFIX)
    return "read" if reads else "write"


def _rate_headers(allowances: dict[str, Allowance], retry_in: float | None) -> Iterator[tuple[str, str]]:
    """As OpenAI's clients know them; ``retry-after`` in whole seconds where something was refused."""
    for what, allowance in allowances.items():
        yield f"x-ratelimit-limit-{what}", str(allowance.limit)
        yield f"x-ratelimit-remaining-{what}", str(allowance.remaining)
        yield f"x-ratelimit-reset-{what}", f"{allowance.resets_in:.3f}s"
    waits = [w for w in (retry_in, *(a.retry_in for a in allowances.values())) if w is not None]
    if waits:
        yield "retry-after", str(max(1, math.ceil(max(waits))))
