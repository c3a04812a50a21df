"""HTTP as a streaming client sees it: statuses, first and later tokens, leaving in the middle, and trying again.

On gevent, as the rest of the generator; imported after locust, which makes sockets cooperative.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

TIMEOUT_SECONDS = 120.0
REJECTIONS = (429, 503)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 8.0
"""Before another attempt, doubled each time; as OpenAI's client does it."""

BROKEN = (OSError, HTTPConnectionClosed, HTTPParseError, gevent.Timeout)
_DATA = b"data: "


@dataclass(slots=True)
class Reply:
    """What came back. ``first_seconds``: until the first token; ``later_seconds``: from the first to the last."""

    status: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    seconds: float = 0.0
    first_seconds: float | None = None
    later_seconds: float = 0.0
    completion_tokens: int = 0
    error: str | None = None
    rejected: bool = False
    attempts: int = 1
    cut: bool = False

    @property
    def worth_another(self) -> bool:
        """Whether an attempt may come to something that this one has not."""
        return self.error is not None and (self.status in (0, 200, 408, 429) or self.status >= 500)


class Wire:
    """Requests to one service, each on a connection of its own.

    One that is kept may be closed by the server in the very moment it is used again, which would look like an error.
    ``retries``: so many further attempts where one fails; writes carry an idempotency key, the same in each.
    """

    def __init__(self, url: str, *, retries: int = 0) -> None:
        self._url = url
        self._retries = retries

    def send(self, method: str, path: str, key: str, body: Mapping[str, Any] | None = None) -> Reply:
        """A request and its whole answer."""
        once = str(uuid.uuid4()) if self._retries and method != "GET" else ""
        return self._tried(lambda: self._sent(method, path, key, body, once))

    def stream(self, path: str, key: str, body: Mapping[str, Any], *, leave_after: int | None = None) -> Reply:
        """An answer token by token. ``leave_after``: so many pieces are read, then the connection is closed."""
        return self._tried(lambda: self._streamed(path, key, body, leave_after))

    def _tried(self, attempt: Callable[[], Reply]) -> Reply:
        started, pause = time.perf_counter(), FIRST_PAUSE_SECONDS
        reply = attempt()
        for number in range(2, self._retries + 2):
            if not reply.worth_another:
                break
            gevent.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            cut, before, reply = reply.cut, time.perf_counter() - started, attempt()
            reply.cut, reply.attempts = reply.cut or cut, number
            if reply.first_seconds is not None:
                reply.first_seconds += before
        reply.seconds = time.perf_counter() - started
        return reply

    def _sent(self, method: str, path: str, key: str, body: Mapping[str, Any] | None, once: str) -> Reply:
        reply = Reply()
        try:
            with self._request(method, path, key, body, once) as response:
                reply.status = response.status_code
                content = response.read()
            reply.body = json.loads(content) if content else {}
        except (*BROKEN, ValueError) as error:
            reply.error = type(error).__name__
        return _judged(reply)

    def _streamed(self, path: str, key: str, body: Mapping[str, Any], leave_after: int | None) -> Reply:
        started = time.perf_counter()
        reply = Reply()
        try:
            response = self._request("POST", path, key, body)
            try:
                reply.status = response.status_code
                if reply.status == 200:
                    _read_events(response, reply, started, leave_after)
                else:
                    reply.body = json.loads(response.read())
            finally:
                response.release()
        except (*BROKEN, ValueError) as error:
            reply.error = type(error).__name__
        reply.cut = reply.status == 200 and reply.error is not None
        return _judged(reply)

    def _request(self, method: str, path: str, key: str, body: Mapping[str, Any] | None, once: str = "") -> Any:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}
        if once:
            headers["Idempotency-Key"] = once
        http = HTTPClient.from_url(self._url, network_timeout=TIMEOUT_SECONDS, connection_timeout=TIMEOUT_SECONDS)
        return http.request(method, path, json.dumps(body).encode() if body is not None else b"", headers)


def _read_events(response: Any, reply: Reply, started: float, leave_after: int | None) -> None:
    pieces, texts, done = 0, [], False
    while line := response.readline(b"\n"):
        if not line.startswith(_DATA):
            continue
        if line.strip() == b"data: [DONE]":
            done = True
            continue
        event = json.loads(line.removeprefix(_DATA))
        if "error" in event:
            reply.body, reply.error = event, f"in the stream: {event['error'].get('code')}"
            continue
        if "usage" in event:
            reply.completion_tokens = event["usage"]["completion_tokens"]
        if "rap" in event:
            reply.body = event
        for choice in event["choices"]:
            if content := choice["delta"].get("content"):
                now = time.perf_counter() - started
                if reply.first_seconds is None:
                    reply.first_seconds = now
                reply.later_seconds = now - reply.first_seconds
                texts.append(content)
                pieces += 1
        if leave_after is not None and pieces >= leave_after:
            return
    reply.text = "".join(texts)
    if not done and reply.error is None:
        reply.error = "stream ended early"


def _judged(reply: Reply) -> Reply:
    """With what went wrong named: a rejection is none of the service's errors, if it says when to come back."""
    if reply.error is None and reply.status >= 400:
        code = reply.body.get("error", {}).get("code")
        reply.rejected = reply.status in REJECTIONS
        reply.error = f"{reply.status} {code}"
    return reply
