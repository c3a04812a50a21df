"""One service for all tests that need one, with a real Redis beside it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from deployments.local import CALLS
from rap_serve.cli.process import free_port
from tests.otlp_receiver import Collector, collector
from tests.running_service import RunningService

os.environ.update(CALLS)  # tests call deployments as the service does; Ray reads it when it is imported
PHOTOGRAPHS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dev"
OTHER_TENANTS_KEY = "rap_the-key-of-another-tenant"


class RealRedis:
    """A redis-server of our own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it and waits for its first answer."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            for _ in range(100):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.05)
        raise TimeoutError("redis-server did not start")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def service_redis() -> Iterator[RealRedis]:
    """The Redis that the shared service caches in."""
    server = RealRedis()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def traces() -> Iterator[Collector]:
    """Where the shared service sends all of its spans."""
    with collector() as kept:
        yield kept


@pytest.fixture(scope="session")
def service(
    tmp_path_factory: pytest.TempPathFactory, service_redis: RealRedis, traces: Collector
) -> Iterator[RunningService]:
    """The whole service, on the real engines, started once for the suite."""
    keys = {"other": OTHER_TENANTS_KEY}
    environment = {
        "RAP_REDIS__URL": service_redis.url,
        "RAP_AUTH__KEYS": json.dumps(keys),
        "RAP_TRACING__ENDPOINT": traces.endpoint,
        "RAP_TRACING__SAMPLE_RATIO": "1",
    }
    running = RunningService(tmp_path_factory.mktemp("service"), environment)
    running.start()
    yield running
    running.stop()
    running.kill_everything()


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    """A client of the first tenant."""
    with service.client() as client:
        yield client


@pytest.fixture
def stranger(service: RunningService) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def other_tenant(service: RunningService) -> Iterator[httpx.Client]:
    """A client of another tenant."""
    with service.client(OTHER_TENANTS_KEY) as client:
        yield client


@pytest.fixture
def user() -> str:
    """A user that no other test knows."""
    return f"user-{time.time_ns()}"


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Real photographs with labels, where this machine has them."""
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("needs the labelled photographs in ../shared/data/dev")
    return PHOTOGRAPHS
