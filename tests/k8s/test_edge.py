"""What can be reached from outside."""

import subprocess

import pytest
import yaml

from tests.k8s.rendered import ROOT, Object, of_kind, rendered
from tests.k8s.rules.names import SECRETS_BY_HAND
from tests.k8s.rules.serving import SECRETS
from tests.k8s.schemas import problems

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


def test_the_small_clusters_secrets_are_made_anew_and_are_all_that_it_needs() -> None:
    """Whatever dev names is printed, with the keys that it takes, and never twice the same."""
    first, second = (list(yaml.safe_load_all(_printed())) for _ in range(2))
    assert {s["metadata"]["name"] for s in first} == SECRETS_BY_HAND
    assert all(not list(problems(secret)) for secret in first)
    (settings,) = (s["stringData"] for s in first if s["metadata"]["name"] == "rap-settings")
    assert settings.keys() == SECRETS.keys()
    (others,) = (s["stringData"] for s in second if s["metadata"]["name"] == "rap-settings")
    assert {k for k in settings if settings[k] == others[k]} == {"RAP_MILVUS__TOKEN"}


def _printed() -> str:
    return subprocess.run([ROOT / "scripts" / "k8s_secrets"], check=True, capture_output=True, text=True).stdout
