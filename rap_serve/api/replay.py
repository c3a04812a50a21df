"""``Idempotency-Key``: a write that is sent again is answered again, and done once."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rap_serve.api.errors import answer_for, note
from rap_serve.domain.catalogue import Attempt, Replies, Reply
from rap_serve.domain.errors import InvalidInput, RapError, Unavailable

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
NOT_WRITES = ("/v1/chat/completions",)
KEPT_HEADERS = ("content-type", "etag", "location")
RETRIED_FROM = 500
RETRIED = {409, 429}
"""Refusals that say nothing about the next attempt. A taken name is such: it may be free then."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_BOUNDARY = re.compile(r'boundary="?([^";]+)')
_USER = re.compile(r"/v1/users/([^/]+)")


class Replay:
    """ASGI middleware, behind the gate. What is kept is the answer, for who sends the same again with the same key.

    A server's error, or a refusal that may not be one next time, is not kept.
    """

    def __init__(self, app: ASGIApp, *, replies: Replies) -> None:
        self._app = app
        self._replies = replies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" else None
        if key is None or scope["method"] not in WRITES or scope["path"] in NOT_WRITES:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            if not _KEY.fullmatch(key):
                raise InvalidInput("An Idempotency-Key is 1 to 255 visible ASCII characters.")
            body = await request.body()
            begun = await self._begun(request, key, body)
        except RapError as error:
            note(error)
            await answer_for(error)(scope, receive, send)
            return
        if isinstance(begun, Reply):
            await _send(send, begun, {REPLAYED: "true"})
            return
        request.state.attempt = begun
        await self._done(begun, scope, body, send)

    async def _begun(self, request: Request, key: str, body: bytes) -> Attempt | Reply:
        tenant, user = request.state.caller.tenant, _USER.match(request.scope["path"])
        whose = unquote(user[1])[:64] if user else ""
        return await self._replies.begin(tenant, key, user=whose, fingerprint=_fingerprint(request, body))

    async def _done(self, attempt: Attempt, scope: Scope, body: bytes, send: Send) -> None:
        """The request, done; its answer is kept before it is sent."""
        answer = _Answer()
        try:
            await self._app(scope, _read_again(body), answer)
        except BaseException:
            await self._replies.abandon(attempt)
            raise
        reply = answer.reply()
        with contextlib.suppress(Unavailable):  # it is done; who sends it again finds that out
            if reply.status >= RETRIED_FROM or reply.status in RETRIED:
                await self._replies.abandon(attempt)
            else:
                await self._replies.finish(attempt, Reply(reply.status, _kept(reply.headers), reply.body))
        await _send(send, reply, {})


class _Answer:
    """Takes an answer in, as a place to send it to."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], dict(Headers(scope=message).items())
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")

    def reply(self) -> Reply:
        """All of it."""
        return Reply(self._status, self._headers, bytes(self._body))


def _fingerprint(request: Request, body: bytes) -> str:
    """Equal for equal requests. A form's boundary, which clients make up anew each time, does not count."""
    boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
    if boundary is not None:
        body = body.replace(boundary[1].encode(), b"-")
    precondition = request.headers.get("if-match", "")
    head = "\n".join((request.method, request.url.path, request.url.query, precondition))
    return hashlib.sha256(head.encode() + b"\0" + body).hexdigest()


def _read_again(body: bytes) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "http.disconnect"}

    return receive


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in KEPT_HEADERS}


async def _send(send: Send, reply: Reply, more: Mapping[str, str]) -> None:
    start: Message = {"type": "http.response.start", "status": reply.status, "headers": []}
    headers = MutableHeaders(scope=start)
    headers.update({**reply.headers, **more, "content-length": str(len(reply.body))})
    await send(start)
    await send({"type": "http.response.body", "body": reply.body})
