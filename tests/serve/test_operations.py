"""Health, metrics and documentation."""

import httpx
import pytest


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_operators_need_no_key(http: httpx.Client, path: str) -> None:
    """What a probe asks is answered."""
    assert httpx.get(f"{http.base_url}{path.removeprefix('/')}", trust_env=False).status_code == 200


def test_metrics_are_in_prometheus_format_and_name_no_tenant(http: httpx.Client, user: str) -> None:
    """Counters of the gateway and of Ray Serve, and no label that grows with users."""
    http.get(f"/v1/users/{user}/concepts")
    for _ in range(20):
        text = http.get("/metrics").text
        if "rap_requests_total" in text:
            break
        httpx.get(f"{http.base_url}healthz", trust_env=False)
        import time

        time.sleep(1)
    assert "# TYPE" in text and "rap_requests_total" in text and "serve_deployment" in text
    assert user not in text
