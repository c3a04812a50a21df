"""A client that goes away costs nothing a second later, on the real engine; a request keeps its deadline there."""

import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from loadtest.bench.disconnects import Clients, measured, remember_something
from loadtest.endless import endless_environment
from tests.running_service import RunningService

FREED_MS = 1_000
TIMES = 5

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose engine works at one answer at a time, and whose answers take for ever."""
    folder = tmp_path_factory.mktemp("endless")
    running = RunningService(folder / "home", endless_environment(folder / "mllm"))
    running.start()
    yield running
    running.stop()
    running.kill_everything()


@pytest.fixture(scope="module")
def clients(endless: RunningService) -> Clients:
    """Those who come and go; one of them has something that pictures are looked at for."""
    clients = Clients(endless.url, endless.api_key)
    remember_something(endless.url, endless.api_key)
    clients.first_token_ms()
    return clients


@pytest.mark.parametrize("kind", ["stream", "whole", "queued", "retrieval"])
def test_the_slot_of_who_went_away_is_free_within_a_second(clients: Clients, kind: str) -> None:
    """The next client has its first token, as soon as on an idle engine or a second later."""
    idle = max(clients.first_token_ms() for _ in range(TIMES))
    assert statistics.median(measured(clients, getattr(clients, f"leave_{kind}"), TIMES)) < idle + FREED_MS


def ask(http: httpx.Client, seconds: str, *, stream: bool) -> httpx.Response:
    """A question whose answer takes longer than it is given."""
    body = {"model": "rap-tiny", "stream": stream, "messages": [{"role": "user", "content": "Tell me everything."}]}
    return http.post("/v1/chat/completions", json=body, headers={"x-rap-timeout-seconds": seconds})


def test_an_answer_that_is_not_there_in_time_is_an_error_of_its_own(endless: RunningService, clients: Clients) -> None:
    """In the envelope, at the time, and the slot is free."""
    with endless.client() as http:
        began = time.monotonic()
        answer = ask(http, "1.5", stream=False)
        took = time.monotonic() - began
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline_exceeded", answer.text
    assert 1.4 < took < 5
    assert clients.first_token_ms() < 5_000


def test_a_stream_that_takes_too_long_ends_with_the_error(endless: RunningService) -> None:
    """Words that came in time, then the envelope as an event."""
    with endless.client() as http:
        events = [line for line in ask(http, "3", stream=True).text.splitlines() if line]
    assert len(events) > 2 and '"deadline_exceeded"' in events[-1]


@pytest.mark.parametrize("said", ["0", "soon"])
def test_a_time_that_is_none_is_refused(endless: RunningService, said: str) -> None:
    """A caller who misspells it is told."""
    with endless.client() as http:
        answer = ask(http, said, stream=False)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid_request"
