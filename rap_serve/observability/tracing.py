"""Spans of one process, sent to an OpenTelemetry collector. Without an endpoint there are none, and they cost nothing.

Spans never hold what an exception says, since that may quote a client: only what kind of error it was.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, use_span
from opentelemetry.util.types import AttributeValue

from rap_serve import __version__
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.errors import RapError
from rap_serve.observability.attributes import ERROR_TYPE
from rap_serve.observability.origin import Origin
from rap_serve.settings import TracingSettings

Attributes = Mapping[str, AttributeValue]
TRACES_PATH = "/v1/traces"
EXPORT_SECONDS = 5.0
"""What one export may take, further attempts included; a process that ends waits as long for its last."""

LEFT = "left"
"""The type of error where nobody waited for the end: the client went away, or the time was up."""


class Tracing:
    """Makes spans, or does nothing. All of them are ended, whichever way their work ends."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("rap_serve", __version__)

    @classmethod
    def of(cls, settings: TracingSettings, service: str) -> "Tracing":
        """As the settings say, for a process that traces call ``service``."""
        if settings.endpoint is None:
            return cls()
        names = {
            "service.name": service,
            "service.namespace": "rap-serve",
            "service.version": __version__,
            "service.instance.id": new_ulid().lower(),
        }
        provider = TracerProvider(
            resource=Resource.create(names), sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio))
        )
        exporter = OTLPSpanExporter(endpoint=settings.endpoint.rstrip("/") + TRACES_PATH, timeout=EXPORT_SECONDS)
        # A bounded queue and a thread of its own: a collector that is away loses spans and delays nobody.
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider)

    @property
    def on(self) -> bool:
        """Whether there are spans at all."""
        return self._tracer is not None

    def span(
        self, name: str, attributes: Attributes | None = None, *, kind: SpanKind = SpanKind.INTERNAL
    ) -> AbstractContextManager[Span]:
        """Around work that has no ``yield`` in it: what runs inside is part of it."""
        if self._tracer is None:
            return nullcontext(INVALID_SPAN)
        return _current(self._tracer.start_span(name, kind=kind, attributes=attributes))

    def root(self, name: str, *, links: Sequence[Link] = ()) -> AbstractContextManager[Span]:
        """The first span of a trace of its own."""
        if self._tracer is None:
            return nullcontext(INVALID_SPAN)
        return _current(self._tracer.start_span(name, Context(), kind=SpanKind.SERVER, links=links))

    def apart(
        self, name: str, attributes: Attributes | None = None, *, kind: SpanKind, origin: Origin | None = None
    ) -> AbstractContextManager[Span]:
        """For generators, whose pieces may be taken in several contexts: nothing inside becomes part of it by itself.

        ``origin``: that of the call where another process made it. Nothing, where that records nothing.
        """
        if self._tracer is None or (origin is not None and origin.traceparent is None):
            return nullcontext(INVALID_SPAN)
        context = None if origin is None else origin.context()
        return _ended(self._tracer.start_span(name, context, kind=kind, attributes=attributes))

    @contextlib.contextmanager
    def continued(self, origin: Origin, name: str, attributes: Attributes | None = None) -> Iterator[Span]:
        """Around the work that another process asked for; what is logged inside names its request."""
        with (
            structlog.contextvars.bound_contextvars(request_id=origin.request_id),
            self.apart(name, attributes, kind=SpanKind.SERVER, origin=origin) as span,
            use_span(span, record_exception=False, set_status_on_exception=False),
        ):
            yield span

    def passed(self, name: str, seconds: float, attributes: Attributes | None = None) -> None:
        """A span that ends now, of what was measured elsewhere."""
        if self._tracer is not None:
            now_ns = time.time_ns()
            self._tracer.start_span(name, start_time=now_ns - int(seconds * 1e9), attributes=attributes).end(now_ns)

    async def until_stopped(self) -> None:
        """Waits to be cancelled, then sends what is left."""
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Sends what is left and ends."""
        if self._provider is not None:
            self._provider.shutdown()


@contextlib.contextmanager
def _current(span: Span) -> Iterator[Span]:
    with _ended(span), use_span(span, record_exception=False, set_status_on_exception=False):
        yield span


@contextlib.contextmanager
def _ended(span: Span) -> Iterator[Span]:
    try:
        yield span
    except (asyncio.CancelledError, GeneratorExit):
        span.set_attribute(ERROR_TYPE, LEFT)
        raise
    except BaseException as error:
        span.set_attribute(ERROR_TYPE, error.code if isinstance(error, RapError) else type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()
