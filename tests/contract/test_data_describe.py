"""Crops described by an endpoint over real HTTP: what is sent, retried, kept and refused."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.crops import jpeg
from training.data.describe import Describer, Endpoint, EndpointFailed, understood
from training.data.drafts import Candidate, Draft, Material

ANSWER = json.dumps(
    {
        "description": "A red mug.",
        "questions": [
            {"question": "What colour is {}?", "answer": "{} is red."},
            {"question": "no place for a name", "answer": "no"},
        ],
    }
)


class Model(ThreadingHTTPServer):
    """An endpoint that speaks the chat completions protocol. ``failures``: statuses to begin with."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.answer: str | None = ANSWER
        self.busy = self.most_busy = 0
        self.clients: list[Describer] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Model
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        model = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with model.lock:
            model.requests.append({"path": self.path, "key": self.headers["Authorization"], **body})
            model.busy += 1
            model.most_busy = max(model.most_busy, model.busy)
            status = model.failures.pop(0) if model.failures else 200
        message = {"role": "assistant", "content": model.answer}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        content = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        text = json.dumps(content if status == 200 else {"error": {"message": "no"}}).encode()
        with model.lock:
            model.busy -= 1
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read ``requests``."""


@pytest.fixture
def model() -> Iterator[Model]:
    """A running endpoint."""
    server = Model()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    for client in server.clients:
        client.close()
    server.shutdown()
    thread.join()
    server.server_close()


def describer(model: Model, cache: Path, *, name: str = "m", retries: int = 2, in_flight: int = 3) -> Describer:
    """A client of the endpoint."""
    endpoint = Endpoint(url=model.url, model=name, retries=retries, in_flight=in_flight)
    model.clients.append(Describer(endpoint, cache))
    return model.clients[-1]


def crop(shade: int) -> bytes:
    """A picture."""
    return jpeg(np.full((20, 20, 3), shade, np.uint8))


def material(count: int) -> Material:
    """One picture with ``count`` things that nobody has described."""
    candidates = tuple(Candidate(key=str(n), category="mug", crops=(f"{n}.jpg",)) for n in range(count))
    draft = Draft(place=0, picture="p.jpg", present=candidates)
    return Material(drafts=(draft,), files={f"{n}.jpg": crop(10 * n) for n in range(count)})


def test_the_model_gets_the_crop_and_its_category(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a data URL, at temperature 0, with the key from the environment."""
    monkeypatch.setenv("RAP_DESCRIBE_KEY", "secret")
    found = describer(model, tmp_path).describe(crop(10), "mug")
    assert found.phrase == "a red mug" and found.questions == (("What colour is {}?", "{} is red."),)
    (request,) = model.requests
    picture, text = request["messages"][0]["content"]
    assert request["path"] == "/v1/chat/completions" and request["key"] == "Bearer secret"
    assert base64.b64decode(picture["image_url"]["url"].split(",")[1]) == crop(10)
    assert "Describe the mug" in text["text"] and request["temperature"] == 0


def test_a_crop_is_paid_for_once(model: Model, tmp_path: Path) -> None:
    """Even by another run with the same folder."""
    first = describer(model, tmp_path).describe(crop(10), "mug")
    assert describer(model, tmp_path).describe(crop(10), "mug") == first
    assert len(model.requests) == 1


def test_another_model_is_asked_anew(model: Model, tmp_path: Path) -> None:
    """What one model said is not another's."""
    describer(model, tmp_path).describe(crop(10), "mug")
    describer(model, tmp_path, name="other").describe(crop(10), "mug")
    assert len(model.requests) == 2


def test_a_busy_endpoint_is_asked_again(model: Model, tmp_path: Path) -> None:
    """Too many requests, or a failure of its own."""
    model.failures = [429, 503]
    assert describer(model, tmp_path).describe(crop(10), "mug").phrase == "a red mug"
    assert len(model.requests) == 3


@pytest.mark.parametrize("status", [503, 401, 404])
def test_an_endpoint_that_does_not_work_ends_the_run(model: Model, tmp_path: Path, status: int) -> None:
    """Nothing is kept, so that a later run asks again."""
    model.failures = [status] * 9
    with pytest.raises(EndpointFailed, match=f"status {status}.*goes on"):
        describer(model, tmp_path, retries=1).describe(crop(10), "mug")
    model.failures = []
    assert describer(model, tmp_path).describe(crop(10), "mug").phrase == "a red mug"


def test_an_endpoint_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    """With its address."""
    client = Describer(Endpoint(url="http://127.0.0.1:9/v1", model="m", retries=0), tmp_path)
    with pytest.raises(EndpointFailed, match=r"127\.0\.0\.1:9"):
        client.describe(crop(10), "mug")
    client.close()


def test_a_crop_that_is_refused_is_reported_and_left_out(model: Model, tmp_path: Path) -> None:
    """For good: it is not asked about again."""
    model.failures = [400]
    work = describer(model, tmp_path, in_flight=1)
    for _ in range(2):
        made = work.described(material(2), shard="shard 0")
        assert [c.key for c in made.drafts[0].present] == ["1"]
        assert [(p.kind, p.file) for p in made.problems] == [("not described", "0.jpg")]
    assert len(model.requests) == 2


def test_no_more_requests_are_under_way_than_allowed(model: Model, tmp_path: Path) -> None:
    """And all are described."""
    made = describer(model, tmp_path, in_flight=3).described(material(12))
    assert {c.phrase for c in made.drafts[0].present} == {"a red mug"} and 1 <= model.most_busy <= 3


def test_what_is_described_already_is_not_asked_about(model: Model, tmp_path: Path) -> None:
    """By its owner, say."""
    known = Candidate(key="k", category="mug", crops=("k.jpg",), info="<bo> is a mug.", name="bo")
    work = Material(drafts=(Draft(place=0, picture="p.jpg", present=(known,)),), files={"k.jpg": crop(1)})
    assert describer(model, tmp_path).described(work) == work and not model.requests


@pytest.mark.parametrize(
    ("answer", "phrase", "refused"),
    [
        ("A tall mug.", "a tall mug", ""),
        (f"```json\n{ANSWER}\n```", "a red mug", ""),
        ("A mug <with> brackets", "a mug (with) brackets", ""),
        ('{"description": ', "", "could not be read"),
        ('{"colour": "red"}', "", "no description"),
        ("  ", "", "no description"),
        (None, "", "no description"),
    ],
)
def test_what_models_write_is_understood(answer: str | None, phrase: str, refused: str) -> None:
    """JSON, fenced or not, or a sentence; the rest is refused."""
    found = understood(answer)
    assert found.phrase == phrase and (refused in found.refused if refused else not found.refused)
