"""One span a request, around everything the gateway does for it."""

from opentelemetry.context import Context
from opentelemetry.trace import Link, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rap_serve.observability import attributes as names
from rap_serve.observability.tracing import Tracing

UNTRACED = {"/healthz", "/readyz", "/metrics"}
"""What probes ask every few seconds."""


class TracedHttp:
    """ASGI middleware, outside of all others."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on; the span is named when the route is known."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        method, status = scope["method"], 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracing.root(method, links=_links(scope)) as span:
            try:
                await self._app(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                span.update_name(f"{method} {route}")
                span.set_attribute(names.HTTP_METHOD, method)
                span.set_attribute(names.HTTP_ROUTE, route)
                span.set_attribute(names.HTTP_STATUS, status)
                span.set_attribute(names.REQUEST_ID, scope.get("state", {}).get("request_id", ""))
                if status >= 500:
                    span.set_status(StatusCode.ERROR)


def _links(scope: Scope) -> tuple[Link, ...]:
    """The client's own span, named and not continued.

    As a parent it would decide for us: its sampled flag, or an id chosen for it, would have every request of that
    client recorded whatever the ratio is, and requests of several tenants could be put into one trace.
    """
    headers = Headers(scope=scope)
    given = get_current_span(TraceContextTextMapPropagator().extract(headers, Context())).get_span_context()
    return (Link(given),) if given.is_valid else ()
