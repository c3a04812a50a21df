"""The parts of cluster trials that need no cluster."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from loadtest.cluster.balancer import Balancer
from loadtest.cluster.hosts import Hosts, missing
from loadtest.cluster.trials import MLLM, TRIALS
from loadtest.cluster.verdict import outcome
from loadtest.load.done import Done
from loadtest.load.record import Run
from loadtest.load.scenario import mixed

NO_SAMPLES = (), ()


def run(acts: list[Done], seconds: float) -> Run:
    """A run of these acts."""
    return Run(mixed(seconds, 1), {}, 0.0, seconds, tuple(acts), (), NO_SAMPLES, NO_SAMPLES, ())  # type: ignore[arg-type]


def act(at: float, ms: float = 100.0, **more: object) -> Done:
    """One that went well, but for what is said."""
    return Done(at=at, act="chat", status=200, total_ms=ms, **more)  # type: ignore[arg-type]


def test_an_outcome_counts_what_failed_what_was_repeated_and_what_was_cut() -> None:
    """Each by itself; only what has an error at the end has failed."""
    acts = [act(n) for n in range(98)]
    acts += [act(98, error="503 unavailable", attempts=3), act(99, attempts=2, cut=True)]
    found = outcome(run(acts, 100), 50)
    assert (found.asked, found.failed, found.repeated, found.cut) == (100, {"chat: 503 unavailable": 1}, 2, 1)
    assert found.succeeded == pytest.approx(0.99)


def test_latencies_are_back_where_no_later_window_is_slow() -> None:
    """Slow for 25 seconds after the disturbance: the third window of ten seconds still is."""
    acts = [act(n, 900.0 if 50 <= n < 75 else 100.0) for n in range(120)]
    assert outcome(run(acts, 120), 50).back_seconds == 30
    assert outcome(run([act(n) for n in range(120)], 120), 50).back_seconds == 0
    assert outcome(run([act(n, 100.0 if n < 50 else 900.0) for n in range(120)], 120), 50).back_seconds is None


def test_a_trial_is_kept_only_where_all_that_it_promises_is() -> None:
    """No failure, latencies back in time, and replicas that came and went."""
    acts = [act(n, 900.0 if 50 <= n < 75 else 100.0) for n in range(120)]
    slow = outcome(run(acts, 120), 50)
    never = outcome(run([act(n, 100.0 if n < 50 else 900.0) for n in range(120)], 120), 50)
    failed = outcome(run([*acts, act(119, error="503 unavailable")], 120), 50)
    wrong = outcome(run([*acts, act(119, violated=True)], 120), 50)
    assert TRIALS["worker"].kept(slow, {}) and not TRIALS["worker"].kept(never, {})
    assert not TRIALS["worker"].kept(failed, {}) and TRIALS["head"].kept(failed, {})
    assert not TRIALS["head"].kept(wrong, {})
    assert TRIALS["scale"].kept(slow, {MLLM: (1, 3, 1)}) and not TRIALS["scale"].kept(slow, {MLLM: (1, 1, 1)})


@contextmanager
def gateway(name: str, *, ready: bool = True) -> Iterator[tuple[str, int]]:
    """Answers with its name; its health as told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if ready or self.path != "/-/healthz" else 503)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield ("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_connections_go_in_turn_to_gateways_that_are_ready() -> None:
    """Neither to one that says it is not, nor to one that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()
    with ExitStack() as stack:
        ready = [stack.enter_context(gateway(name)) for name in "ab"]
        others = [stack.enter_context(gateway("c", ready=False)), nobody]
        balancer = stack.enter_context(Balancer("127.0.0.1", [*ready, *others]))
        while balancer.ready < 2:
            time.sleep(0.05)
        http = stack.enter_context(httpx.Client(trust_env=False, headers={"connection": "close"}))
        heard = [http.get(balancer.url).text for _ in range(6)]
    assert heard.count("a") == heard.count("b") == 3


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_hosts_reach_each_other_by_address_and_see_disks_of_their_own(tmp_path: Path) -> None:
    """The same port on each; gone with everything on them in the end."""
    at = tmp_path / "disk"
    at.mkdir()
    with Hosts() as hosts:
        started = []
        for name in ("one", "two"):
            host, disk = hosts.add(), tmp_path / name
            disk.mkdir()
            (disk / "name").write_text(name)
            command = ["python3", "-m", "http.server", "8000", "--directory", str(at)]
            started.append((host, host.start(command, {}, disk=disk, at=at, log=tmp_path / f"{name}.log")))
        names = [_read(f"http://{host.address}:8000/name") for host, _ in started]
        started[0][0].kill()
        assert started[0][1].wait(5) != 0 and _read(f"http://{started[1][0].address}:8000/name") == "two"
    assert names == ["one", "two"] and started[1][1].wait(5) != 0
    assert started[0][0].address not in subprocess.run(["ip", "addr"], capture_output=True, text=True).stdout


def _read(url: str) -> str:
    with httpx.Client(trust_env=False, transport=httpx.HTTPTransport(retries=8)) as http:
        return http.get(url, timeout=10).text
