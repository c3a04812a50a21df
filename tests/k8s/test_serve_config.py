"""What Ray Serve is told on a cluster, and that it can be built."""

from types import SimpleNamespace

import pytest
import ray
import yaml
from ray.serve import Application
from ray.serve._private.build_app import BuiltApplication, build_app
from ray.serve.schema import ServeDeploySchema

from deployments.cluster import Arguments, app
from rap_serve.domain.errors import InvalidInput
from tests.k8s.rendered import K8S, OVERLAYS, Object, of_kind, rendered
from tests.k8s.rules.serving import SECRETS

PROFILES = {"dev": "local", "prod": "gpu"}


def config_of(overlay: str) -> Object:
    """The overlay's file."""
    parsed: Object = yaml.safe_load((K8S / "overlays" / overlay / "serve-config.yaml").read_text())
    return parsed


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node has from the Secret."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_applied_is_the_file(overlay: str) -> None:
    """The RayService holds serve-config.yaml word for word."""
    (service,) = of_kind(rendered(overlay), "RayService")
    assert service["spec"]["serveConfigV2"] == (K8S / "overlays" / overlay / "serve-config.yaml").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_serve_takes_it(overlay: str) -> None:
    """By its own schema; the names that it would overlook are held against in rules/serving.py."""
    schema = ServeDeploySchema.model_validate(config_of(overlay))
    (application,) = schema.applications
    assert application.import_path == "deployments.cluster:app"
    assert Arguments(**application.args).profile == PROFILES[overlay]
    assert schema.http_options.request_timeout_s is None  # the service's own deadline cuts, with an answer


def test_the_overlays_differ_in_their_profile_alone() -> None:
    """One config, two profiles."""
    dev, prod = (config_of(overlay) for overlay in OVERLAYS)
    assert {**dev, "applications": None} == {**prod, "applications": None}
    assert {**dev["applications"][0], "args": None} == {**prod["applications"][0], "args": None}


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("profile", ["gpu", "local"])
def test_the_builder_makes_the_whole_graph(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four deployments, as Serve builds them on a node of the cluster; no Ray is started for it."""
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(runtime_env={}))
    built = _built(app(Arguments(profile=profile)))
    names = {deployment.name.split(":")[0] for deployment in built.deployments}
    assert names == {"DetectorDeployment", "EmbedderDeployment", "IngressDeployment", "Mllm"}
    assert built.ingress_deployment_name == "IngressDeployment"
    assert not ray.is_initialized()


@pytest.mark.usefixtures("secrets")
def test_each_deployment_asks_for_its_own_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ray resources; the MLLM's in the placement group that its engine runs in."""
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(runtime_env={}))
    built = _built(app(Arguments(profile="gpu")))
    asked = {d.name: d.ray_actor_options["resources"] for d in built.deployments}
    assert asked["DetectorDeployment"] == asked["EmbedderDeployment"] == {"vision": 0.01}
    assert asked["IngressDeployment"] == {"ingress": 0.01}
    (mllm,) = (d for d in built.deployments if d.name.startswith("Mllm:"))
    (bundle,) = mllm._replica_config.placement_group_bundles
    assert bundle == {"GPU": 1, "accelerator_type:H200": 0.001, "CPU": 4, "mllm": 0.01}


def test_a_misspelt_argument_is_refused() -> None:
    """The config's ``args`` are typed."""
    with pytest.raises(ValueError, match="extra"):
        Arguments.model_validate({"profile": "gpu", "profil": "gpu"})


@pytest.mark.parametrize("lacking", ["RAP_AUTH__SECRET", "RAP_REDIS__URL"])
def test_a_cluster_without_its_secrets_says_so(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is placed."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(lacking)
    with pytest.raises(InvalidInput, match=lacking.removeprefix("RAP_").replace("__", ".").lower()):
        app(Arguments(profile="gpu"))


def _built(application: Application) -> BuiltApplication:
    return build_app(application, name="rap", default_runtime_env={})
