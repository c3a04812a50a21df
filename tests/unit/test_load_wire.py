"""Clients of load tests that try again."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

SCRIPT = """
import locust, json, sys
from loadtest.load.wire import Wire
url, retries = sys.argv[1], int(sys.argv[2])
wire = Wire(url, retries=retries)
sent = wire.send("POST", "/write", "key", {})
streamed = wire.stream("/stream", "key", {})
print(json.dumps([[r.status, r.error, r.attempts, r.cut] for r in (sent, streamed)]))
"""


class Flaky(BaseHTTPRequestHandler):
    """Fails each path once: a 503, and a stream that just ends."""

    seen: ClassVar[dict[str, list[str | None]]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        keys = self.seen.setdefault(self.path, [])
        keys.append(self.headers.get("idempotency-key"))
        if self.path == "/write":
            self._answer(201 if len(keys) > 1 else 503, json.dumps({} if len(keys) > 1 else {"error": {"code": "x"}}))
        else:
            self._answer(200, "data: [DONE]\n\n" if len(keys) > 1 else 'data: {"choices": []}\n\n')

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def asked(retries: int) -> Any:
    """What the client made of it; in a process of its own, as locust changes all sockets of one."""
    Flaky.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCRIPT,
            f"http://127.0.0.1:{server.server_address[1]}",
            str(retries),
        ]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_failed_attempt_is_repeated_with_the_same_key() -> None:
    """The write carries one idempotency key in both attempts; a stream that ended early counts as cut."""
    assert asked(2) == [[201, None, 2, False], [200, None, 2, True]]
    first, second = Flaky.seen["/write"]
    assert first and first == second


def test_without_retries_it_is_an_error() -> None:
    """And no key is sent."""
    assert asked(0) == [[503, "503 x", 1, False], [200, "stream ended early", 1, True]]
    assert Flaky.seen["/write"] == [None]
