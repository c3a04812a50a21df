"""Health, metrics and documentation."""

import time

import httpx
import pytest

from loadtest.processes import role, service_processes
from tests.running_service import RunningService

EXPORT_SECONDS = 30


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_operators_need_no_key(stranger: httpx.Client, path: str) -> None:
    """What a probe asks is answered."""
    assert stranger.get(path).status_code == 200


def test_metrics_are_in_prometheus_format_and_name_no_user(http: httpx.Client, user: str) -> None:
    """Counters of the gateway and of Ray Serve, a few seconds old at most, and no label that grows with users."""
    http.get(f"/v1/users/{user}/concepts")
    deadline = time.monotonic() + EXPORT_SECONDS
    while "rap_requests_total" not in (text := http.get("/metrics").text):
        assert time.monotonic() < deadline, "the gateway's counters were not exported"
        time.sleep(1)
    assert "# TYPE" in text and "serve_deployment" in text
    assert user not in text


def test_the_engine_and_its_worker_are_one_process(service: RunningService) -> None:
    """As the profile says, whatever Ray and vLLM make of it on a CPU."""
    roles = [role(process) for process in service_processes(service.home)]
    assert [name for name in roles if name.startswith("VLLM::")] == ["VLLM::EngineCore"]
