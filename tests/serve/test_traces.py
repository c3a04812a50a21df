"""One trace for one answer, across every process that worked on it."""

import httpx

from loadtest import drawn
from tests.otlp_receiver import Collector, Received

INFO = "A zwiebelkuchen-coloured thing."
QUESTION = "What in the wide world is this?"
NAME = "bartholomew"
CLIENTS_TRACE = "0af7651916cd43dd8448eb211c80319c"
ANSWER = "POST /v1/chat/completions"
PARENTS = {
    "retrieval": ANSWER,
    "memory": "retrieval",
    "memory library": "memory",
    "call detector": "detect",
    "preprocess": "detect",
    "chat rap-tiny": ANSWER,
    "generate": "chat rap-tiny",
}
"""Which span hangs below which. Two are ``detect``: the gateway's step, and the replica's part below the call."""

SLACK_SECONDS = 1.0
"""A replica's part of a stream ends a little after its last piece has arrived."""


def asked(http: httpx.Client, user: str, *, stream: bool = False) -> str:
    """A question that is answered with evidence; the request's id."""
    content = [
        {"type": "image_url", "image_url": {"url": drawn.scene([drawn.thing(1)], 2).data_url}},
        {"type": "text", "text": QUESTION},
    ]
    body = {"model": "rap-tiny", "user": user, "messages": [{"role": "user", "content": content}], "max_tokens": 8}
    traceparent = f"00-{CLIENTS_TRACE}-b7ad6b7169203331-01"
    answer = http.post("/v1/chat/completions", json={**body, "stream": stream}, headers={"traceparent": traceparent})
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-request-id"])


def trace_of(spans: list[Received], request_id: str) -> list[Received]:
    """All spans of a request, none as long as its own is not there."""
    own = [s for s in spans if s.attributes.get("rap.request.id") == request_id and s.attributes.get("http.route")]
    return [s for s in spans if own and s.trace == own[0].trace]


def test_an_answer_is_one_trace_through_all_processes(http: httpx.Client, user: str, traces: Collector) -> None:
    """Each process' part hangs below the call that asked for it, within its time."""
    concept = {**drawn.concept(NAME, drawn.thing(1), 1), "info": INFO}
    assert http.post(f"/v1/users/{user}/concepts", json=concept).status_code == 201
    request_id = asked(http, user, stream=True)
    # Each process sends what ended first, first: the last of each is the outermost.
    last = {("rap-gateway", ANSWER), ("rap-detector", "detect"), ("rap-embedder", "embed"), ("rap-mllm", "generate")}
    all_there = traces.wait_for(lambda spans: {(s.service, s.name) for s in trace_of(spans, request_id)} >= last)
    spans = trace_of(all_there, request_id)
    by_id, by_name = {s.id: s for s in spans}, {s.name: s for s in spans}
    assert any(s.name == "detect" and s.parent and by_id[s.parent].name == "call detector" for s in spans)
    for name, parent in PARENTS.items():
        assert any(s.name == name and s.parent and by_id[s.parent].name == parent for s in spans), (name, parent)
    root = by_name[ANSWER]
    assert not root.parent and root.trace != CLIENTS_TRACE and root.links == (CLIENTS_TRACE,)
    assert root.attributes["rap.evidence.count"] == 1 and root.attributes["rap.retrieval.cache"] == "miss"
    assert by_name["chat rap-tiny"].attributes["gen_ai.usage.output_tokens"] > 0
    assert all(root.began - 0.01 <= s.began and s.ended <= root.ended + SLACK_SECONDS for s in spans)


def test_no_span_holds_what_an_owner_said_or_who_it_was(http: httpx.Client, user: str, traces: Collector) -> None:
    """Neither names, infos and questions nor keys, tenants and users, in anything that was ever sent."""
    concept = {**drawn.concept(NAME, drawn.thing(1), 1), "info": INFO}
    assert http.post(f"/v1/users/{user}/concepts", json=concept).status_code == 201
    request_id = asked(http, user)
    traces.wait_for(lambda spans: bool(trace_of(spans, request_id)))
    key = http.headers["Authorization"].removeprefix("Bearer ")
    for word in (NAME, INFO, QUESTION, user, key, "zwiebelkuchen", "image/png"):
        assert not any(word.encode() in body for body in traces.raw), word
