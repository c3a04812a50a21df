"""What every request passes before a route sees it: id, size, key; and what is counted afterwards."""

import time
from typing import Protocol

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rap_serve.api.errors import answer_for
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.errors import RapError, TooLarge
from rap_serve.services.authenticate import Authenticate

KEYED_PREFIXES = ("/v1/", "/admin/")
_DRAINED_TIMES_LIMIT = 4
_log = structlog.get_logger()


class RequestMetrics(Protocol):
    """Where finished requests are counted."""

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None: ...


class Gate:
    """ASGI middleware. A keyed path without a valid key never reaches a route or has its body parsed."""

    def __init__(self, app: ASGIApp, *, authenticate: Authenticate, body_bytes: int, metrics: RequestMetrics) -> None:
        self._app = app
        self._authenticate = authenticate
        self._body_bytes = body_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request.state.request_id = f"req_{new_ulid().lower()}"
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request.state.request_id.encode()))
            await send(message)

        try:
            await self._admitted(request, scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.request(route=route, method=request.method, status=status, seconds=seconds)
            _log.info(
                "request",
                request_id=request.state.request_id,
                tenant=getattr(request.state, "tenant", None),
                method=request.method,
                route=route,
                status=status,
                milliseconds=round(seconds * 1_000, 1),
            )

    async def _admitted(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"].startswith(KEYED_PREFIXES):
                request.state.tenant = self._authenticate(request.headers.get("authorization"))
            body = await self._bounded(request, receive)
        except RapError as error:
            await answer_for(error)(scope, receive, send)
            return
        await self._app(scope, body, send)

    async def _bounded(self, request: Request, receive: Receive) -> Receive:
        """``receive``, counting; raises TooLarge at once where the header already says so."""
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._body_bytes:
            await self._drain(receive)
            raise TooLarge(f"A request body is at most {self._body_bytes:,} bytes.")
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._body_bytes:
                raise TooLarge(f"A request body is at most {self._body_bytes:,} bytes.")
            return message

        return counted

    async def _drain(self, receive: Receive) -> None:
        """Reads what a client insists on sending, within reason, so that it gets to read the answer."""
        left = self._body_bytes * _DRAINED_TIMES_LIMIT
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b"")) + 1
            if message["type"] != "http.request" or not message.get("more_body"):
                return
