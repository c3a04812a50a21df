"""At Ray's HTTP proxy, in front of all gateways: what it answers by itself looks like an answer of ours.

A request whose gateway dies has no answer: the proxy gives none, and its server would say 500 in plain text. Whether
what was asked for happened nobody knows, as with every 503; an idempotency key makes it safe to ask again. What the
proxy refuses itself, as no gateway has room or is there, it says in plain text, too.
"""

from collections.abc import Iterable, Sequence

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rap_serve.api.errors import answer_for
from rap_serve.domain.errors import Overloaded, RapError, Unavailable

REQUEST_ID = b"x-request-id"
RAYS_OWN = frozenset({b"x-request-disconnect-disabled", b"x-request-timeout-seconds", b"serve_multiplexed_model_id"})
"""Headers by which clients could tell Ray Serve what is not theirs to say: to keep a slot after they left, say."""

_PROXYS_OWN = {408, 429, 503}


def middlewares() -> list[Middleware]:
    """What Ray's proxies call when they start; ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it."""
    return [Middleware(Enveloped)]


class Enveloped:
    """Any application that now and then gives no answer, or one in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what gateways say."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        instead: JSONResponse | None = answer_for(Unavailable("The gateway did not answer; try again."))

        async def watched(message: Message) -> None:
            nonlocal instead
            if message["type"] == "http.response.start":
                refusal = _refusal(message)
                instead = None if refusal is None else answer_for(refusal)
                message = {**message, "headers": _with_one_id(message.get("headers", ()))}
            if instead is None:
                await send(message)

        await self._app({**scope, "headers": _without_rays_own(scope["headers"])}, receive, watched)
        if instead is not None:
            await instead(scope, receive, send)


def _without_rays_own(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [pair for pair in headers if pair[0].lower() not in RAYS_OWN]


def _with_one_id(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The gateway's request id, which the log knows; the one that Ray adds after it is left out."""
    ids = [pair for pair in headers if pair[0].lower() == REQUEST_ID]
    return [pair for pair in headers if pair[0].lower() != REQUEST_ID or pair is ids[0]]


def _refusal(start: Message) -> RapError | None:
    """What the proxy means; None where a gateway speaks, which is always in JSON."""
    if start["status"] not in _PROXYS_OWN or not Headers(raw=start["headers"]).get("content-type", "").startswith(
        "text/plain"
    ):
        return None
    if start["status"] == 429:
        return Overloaded("All gateways are busy; try again.")
    return Unavailable("No gateway answered; try again.")
