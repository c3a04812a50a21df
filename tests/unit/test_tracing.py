"""Spans as a collector gets them, over HTTP; and none where nobody asked for any."""

import pickle
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

import httpx
import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import INVALID_SPAN, get_current_span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rap_serve.cli.process import free_port
from rap_serve.domain.chat import Delta, Sampling, Usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import ConceptNotFound
from rap_serve.domain.prompt import TextPart, Turn
from rap_serve.observability import attributes
from rap_serve.observability.origin import Origin
from rap_serve.observability.traced import TracedMllm, TracedTimings
from rap_serve.observability.traced_http import TracedHttp
from rap_serve.observability.tracing import Tracing
from rap_serve.services.timings import Timings
from rap_serve.settings import NO_TRACING, TracingSettings
from tests.otlp_receiver import Collector, Received, collector

OWNER = Owner("acme", "ann")
CLIENTS_TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENTS_SPAN = f"00-{CLIENTS_TRACE}-b7ad6b7169203331-01"
SECRET = "zwiebelkuchen"
"""What only an owner says."""


@pytest.fixture
def collecting() -> Iterator[Collector]:
    """A collector."""
    with collector() as kept:
        yield kept


def tracing(collecting: Collector, service: str = "rap-gateway", *, ratio: float = 1.0) -> Tracing:
    """That of one process."""
    return Tracing.of(TracingSettings(endpoint=collecting.endpoint, sample_ratio=ratio), service)


def sent(collecting: Collector, *processes: Tracing) -> dict[str, Received]:
    """All spans by name, once the processes have ended."""
    for process in processes:
        process.close()
    return {span.name: span for span in collecting.spans}


class Poet:
    """An MLLM that says what it was asked."""

    def holds(self, owner: Owner, name: str) -> bool:
        return False

    async def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        assert get_current_span().is_recording(), "the call would not be part of the trace"
        yield Delta(SECRET)
        yield Delta(" twice", finish_reason="length")
        yield Delta(usage=Usage(12, 2))


async def asked(mllm: TracedMllm, *, pieces: int = 3) -> list[Delta]:
    """The first pieces of an answer."""
    turns = [Turn("user", (TextPart(SECRET),))]
    answer = mllm.stream(turns, Sampling(max_tokens=2), model="rap-tiny", owner=OWNER, request_id="req_1")
    async with aclosing(answer):
        return [await anext(answer) for _ in range(pieces)]


async def test_nothing_is_recorded_without_an_endpoint() -> None:
    """No span, nothing that travels, and nothing to wait for at the end."""
    off = Tracing.of(NO_TRACING, "rap-gateway")
    with off.span("work") as span, off.continued(Origin("req_1", CLIENTS_SPAN), "more") as further:
        assert not off.on and span is INVALID_SPAN and further is INVALID_SPAN
        assert Origin.here() == Origin("req_1", None)
    off.close()


async def test_a_call_to_another_process_goes_on_with_the_span_it_was_made_in(collecting: Collector) -> None:
    """The origin is pickled, as Ray does; one trace, two services."""
    gateway, detector = tracing(collecting), tracing(collecting, "rap-detector")
    with gateway.span("call detector"):
        origin = pickle.loads(pickle.dumps(Origin.here()))  # noqa: S301
    with detector.continued(origin, "detect"), detector.span("preprocess"):
        pass
    spans = sent(collecting, gateway, detector)
    assert {s.service for s in spans.values()} == {"rap-gateway", "rap-detector"}
    assert len({s.trace for s in spans.values()}) == 1
    assert spans["detect"].parent == spans["call detector"].id and spans["preprocess"].parent == spans["detect"].id


async def test_what_is_not_sampled_is_not_recorded_elsewhere(collecting: Collector) -> None:
    """The gateway decides for all; replicas begin no trace of their own."""
    gateway, detector = tracing(collecting, ratio=0.0), tracing(collecting, "rap-detector")
    with gateway.root("POST"):
        origin = Origin.here()
        assert origin.traceparent is None
    with detector.continued(origin, "detect"), detector.apart("generate", kind=1, origin=origin):
        pass
    assert sent(collecting, gateway, detector) == {}


async def http_spans(gateway: Tracing, path: str, headers: dict[str, str]) -> None:
    """One request through the middleware, with a step in it."""

    async def retrieve(request: Request) -> PlainTextResponse:
        request.state.request_id = "req_1"
        with TracedTimings(gateway)("total"):
            return PlainTextResponse("ok", 503 if "fail" in request.url.query else 200)

    async def healthz(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/v1/users/{user}/retrieve", retrieve), Route("/healthz", healthz)])
    transport = httpx.ASGITransport(TracedHttp(app, tracing=gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get(path, headers=headers)


async def test_a_request_is_named_by_its_route_and_holds_its_steps(collecting: Collector) -> None:
    """No user in the name, the status and the request's id beside it."""
    gateway = tracing(collecting)
    await http_spans(gateway, f"/v1/users/{SECRET}/retrieve?fail", {})
    await http_spans(gateway, "/healthz", {})
    spans = sent(collecting, gateway)
    assert spans.keys() == {"GET /v1/users/{user}/retrieve", "retrieval"}
    request = spans["GET /v1/users/{user}/retrieve"]
    assert spans["retrieval"].parent == request.id and request.failed
    assert request.attributes[attributes.HTTP_STATUS] == 503
    assert request.attributes[attributes.REQUEST_ID] == "req_1"
    assert not any(SECRET.encode() in body for body in collecting.raw)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_a_client_cannot_decide_what_is_recorded(collecting: Collector, ratio: float) -> None:
    """Its sampled span becomes a link on a trace of ours, where the ratio wants one."""
    gateway = tracing(collecting, ratio=ratio)
    await http_spans(gateway, "/v1/users/ann/retrieve", {"traceparent": CLIENTS_SPAN})
    spans = sent(collecting, gateway)
    assert len(spans) == 2 * ratio
    for request in (s for s in spans.values() if not s.parent):
        assert request.trace != CLIENTS_TRACE and request.links == (CLIENTS_TRACE,)


async def test_an_answer_has_the_attributes_of_generative_ai_and_none_of_its_words(collecting: Collector) -> None:
    """What was used, why it ended, when it began."""
    gateway = tracing(collecting)
    assert len(await asked(TracedMllm(Poet(), gateway))) == 3
    span = sent(collecting, gateway)["chat rap-tiny"]
    assert span.attributes[attributes.OPERATION] == "chat" and span.attributes[attributes.MODEL] == "rap-tiny"
    assert span.attributes[attributes.INPUT_TOKENS] == 12 and span.attributes[attributes.OUTPUT_TOKENS] == 2
    assert span.attributes[attributes.FINISH_REASONS] == ["length"]
    assert span.attributes[attributes.FIRST_CHUNK_SECONDS] > 0
    assert not any(SECRET.encode() in body for body in collecting.raw)


async def test_an_answer_that_is_left_says_so(collecting: Collector) -> None:
    """After its first piece; the span ends with the stream and is no failure."""
    gateway = tracing(collecting)
    await asked(TracedMllm(Poet(), gateway), pieces=1)
    span = sent(collecting, gateway)["chat rap-tiny"]
    assert span.attributes[attributes.ERROR_TYPE] == "left" and not span.failed


async def test_a_failure_tells_its_code_and_not_its_words(collecting: Collector) -> None:
    """Messages may quote what a client sent."""
    gateway = tracing(collecting)
    with pytest.raises(ConceptNotFound), gateway.span("retrieval"):
        raise ConceptNotFound(f"There is no concept {SECRET!r}.")
    span = sent(collecting, gateway)["retrieval"]
    assert span.failed and span.attributes[attributes.ERROR_TYPE] == ConceptNotFound.code
    assert not any(SECRET.encode() in body for body in collecting.raw)


async def test_steps_are_timed_whether_they_are_traced_or_not(collecting: Collector) -> None:
    """The wait for the first token has no span of its own; the answer's covers it."""
    gateway = tracing(collecting)
    timings: Timings = TracedTimings(gateway)
    for step in ("total", "first_token"):
        with timings(step):
            pass
    assert timings.milliseconds.keys() == {"total", "first_token"}
    assert sent(collecting, gateway).keys() == {"retrieval"}


def test_a_collector_that_is_away_delays_nobody() -> None:
    """Spans are dropped by a thread of their own."""
    gateway = Tracing.of(TracingSettings(endpoint=f"http://127.0.0.1:{free_port()}", sample_ratio=1), "rap-gateway")
    began = time.monotonic()
    for _ in range(5_000):
        with gateway.root("POST"):
            pass
    assert time.monotonic() - began < 5
    gateway.close()


def test_names_of_generative_ai_are_the_conventions_own() -> None:
    """Each is one that the installed conventions define and do not call deprecated."""
    known = {v for k, v in vars(gen_ai_attributes).items() if k.startswith("GEN_AI_") and isinstance(v, str)}
    ours = {v for v in vars(attributes).values() if isinstance(v, str) and v.startswith("gen_ai.")}
    assert len(ours) > 10 and ours <= known - {"gen_ai.system", "gen_ai.prompt", "gen_ai.completion"}
