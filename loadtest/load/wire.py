"""HTTP as a streaming client sees it: statuses, first and later tokens, and leaving in the middle.

On gevent, as the rest of the generator; imported after locust, which makes sockets cooperative.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

TIMEOUT_SECONDS = 120.0
REJECTIONS = (429, 503)
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


class Wire:
    """Requests to one service, each on a connection of its own.

    One that is kept may be closed by the server in the very moment it is used again, which would look like an error.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, method: str, path: str, key: str, body: Mapping[str, Any] | None = None) -> Reply:
        """A request and its whole answer."""
        started = time.perf_counter()
        reply = Reply()
        try:
            with self._request(method, path, key, body) as response:
                reply.status = response.status_code
                content = response.read()
            reply.body = json.loads(content) if content else {}
        except (*BROKEN, ValueError) as error:
            reply.error = type(error).__name__
        reply.seconds = time.perf_counter() - started
        return _judged(reply)

    def stream(self, path: str, key: str, body: Mapping[str, Any], *, leave_after: int | None = None) -> Reply:
        """An answer token by token. ``leave_after``: so many pieces are read, then the connection is closed."""
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
        reply.seconds = time.perf_counter() - started
        return _judged(reply)

    def _request(self, method: str, path: str, key: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}
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
