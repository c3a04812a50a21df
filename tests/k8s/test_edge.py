"""What can be reached from outside."""

import pytest

from tests.k8s.rendered import Object, of_kind, rendered

INSIDE = ["/admin/v1/tenants", "/admin", "/metrics", "/readyz", "/", "/api/jobs/", "/-/routes"]
OUTSIDE = ["/v1/chat/completions", "/v1/models", "/v1/users/ann/concepts", "/v1/usage", "/healthz", "/docs"]


def _routed(path: str) -> bool:
    rules = [rule for route in of_kind(rendered("prod"), "HTTPRoute") for rule in route["spec"]["rules"]]
    return any(_matches(match, path) for rule in rules for match in rule.get("matches", [{}]))


def _matches(match: Object, path: str) -> bool:
    wanted = match.get("path", {"type": "PathPrefix", "value": "/"})
    if wanted["type"] == "Exact":
        return bool(path == wanted["value"])
    assert wanted["type"] == "PathPrefix"
    prefix = wanted["value"].rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")


@pytest.mark.parametrize("path", INSIDE)
def test_what_operators_use_is_not_routed(path: str) -> None:
    """Neither administration, nor metrics, nor anything of Ray's."""
    assert not _routed(path)


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_clients_use_is_routed(path: str) -> None:
    """The whole API."""
    assert _routed(path)


def test_nothing_from_outside_comes_without_tls() -> None:
    """One listener, terminating, with a certificate."""
    (gateway,) = of_kind(rendered("prod"), "Gateway")
    (listener,) = gateway["spec"]["listeners"]
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    assert listener["tls"]["certificateRefs"]


def test_no_service_opens_a_port_of_the_nodes() -> None:
    """All are inside; dev is reached by port-forward."""
    for overlay in ("dev", "prod"):
        for service in of_kind(rendered(overlay), "Service"):
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_no_secret_is_written_down() -> None:
    """Secrets are named, never there."""
    for overlay in ("dev", "prod"):
        assert not of_kind(rendered(overlay), "Secret")
