"""Whose work a call to another process is: what its logs and spans belong to.

It travels as an argument of the call, as the deadline does.
"""

from dataclasses import dataclass

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_FIELD = "traceparent"
_W3C = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Origin:
    """``request_id``: as the client was told. ``traceparent``: W3C's, None where nothing is recorded."""

    request_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def here(cls) -> "Origin":
        """That of a call made now: the request being worked on, and the span that it is in."""
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        carrier: dict[str, str] = {}
        if trace.get_current_span().get_span_context().trace_flags.sampled:
            _W3C.inject(carrier)
        return cls(request_id, carrier.get(_FIELD))

    def context(self) -> Context:
        """What a span that goes on with it is begun in."""
        return _W3C.extract({} if self.traceparent is None else {_FIELD: self.traceparent}, Context())


UNKNOWN = Origin()
