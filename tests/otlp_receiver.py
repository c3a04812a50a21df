"""A collector of one's own: takes OTLP over HTTP and keeps the spans."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_SECONDS = 30.0
WIDTH = 40


@dataclass(frozen=True)
class Received:
    """A span as it came. Ids in hexadecimal, ``parent`` empty where there is none; times in seconds."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began: float
    ended: float
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool


@dataclass
class Collector:
    """``raw``: all bodies as they came."""

    port: int = 0
    spans: list[Received] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """All spans, once there are enough of them."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not enough(spans := list(self.spans)):
            assert time.monotonic() < deadline, f"only these came: {sorted((s.service, s.name) for s in spans)}"
            time.sleep(0.1)
        return spans

    def take(self, body: bytes) -> None:
        """Keeps what is in one export."""
        self.raw.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            self.spans += [_received(service, span) for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    """One on ``port``, a free one where that is 0, until the end."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if known:
                kept.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drawn(spans: list[Received]) -> str:
    """One trace as text: a line a span, its place in time beside it."""
    began = min(span.began for span in spans)
    whole = max(span.ended for span in spans) - began
    known = {span.id for span in spans}
    lines: list[str] = []

    def below(parent: str | None, depth: int) -> None:
        children = [s for s in spans if (s.parent == parent if parent else s.parent not in known)]
        for span in sorted(children, key=lambda s: (s.began, -s.ended)):
            first = round(WIDTH * (span.began - began) / whole)
            length = max(1, round(WIDTH * (span.ended - span.began) / whole))
            name = "  " * depth + span.name
            bar = ("·" * first + "█" * length)[:WIDTH].ljust(WIDTH, "·")
            lines.append(f"{span.service:<13}{name:<52}{bar} {1_000 * (span.ended - span.began):7.1f} ms")
            below(span.id, depth + 1)

    below(None, 0)
    return "\n".join(lines)


def _received(service: str, span: Span) -> Received:
    return Received(
        service=service,
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
        attributes=_attributes(span.attributes),
        links=tuple(link.trace_id.hex() for link in span.links),
        failed=span.status.code == 2,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    return getattr(value, kind) if kind else None
